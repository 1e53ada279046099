"""Keys of a config against what takes them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmrs.apis.config.config_load import nearest
from mmrs.errors import ConfigError


def accepted_parameters(target: Any) -> tuple[set[str], bool]:
    """Return the keyword names that a class or function takes, and whether it takes others.

    ``**kwargs`` of a constructor are followed to its base classes, as forwarding goes.
    """
    if not inspect.isclass(target):
        return _signature(target)
    names: set[str] = set()
    for cls in target.__mro__:
        if "__init__" not in cls.__dict__ or cls is object:
            continue
        own, is_open = _signature(cls.__dict__["__init__"])
        names |= own
        if not is_open:
            return names, False
    return names, True


def _signature(function: Any) -> tuple[set[str], bool]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return set(), True  # a builtin that does not tell
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = {n for n, p in parameters.items() if p.kind not in variadic and n != "self"}
    return names, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def check_keys(node: Mapping, target: Any, *, where: str, extra: tuple[str, ...] = ()) -> None:
    """Raise where a dict holds a key that ``target`` does not take.

    Where ``**kwargs`` may go elsewhere than to a base class, only a key that looks like one of
    the known names is refused; the others are left to the constructor.

    Raises:
        ConfigError: With the path of the key and the nearest right one.
    """
    names, is_open = accepted_parameters(target)
    first = target.__init__ if inspect.isclass(target) else target
    may_forward = is_open or _signature(first)[1]
    known = [*names, *extra]
    for key in node:
        if key in ("type", "_delete_", "_scope_") or key in known:
            continue
        unused = [name for name in known if name not in node]
        guess = nearest(key, unused, cutoff=_cutoff(key) if may_forward else 0.5)
        if may_forward and guess is None:
            continue
        title = getattr(target, "__name__", str(target))
        fix = f"did you mean {guess}?" if guess else f"{title} takes {_listed(known)}"
        raise ConfigError(f"{title} takes no {key!r}", where=f"{where}.{key}", fix=fix)


def _cutoff(key: str) -> float:
    # two letters swapped cost a short word more of its likeness
    return 0.7 if len(key) <= 5 else 0.82


def _listed(names: list[str]) -> str:
    shown = sorted(name for name in names if name not in ("args", "kwargs"))
    return ", ".join(shown) if shown else "no arguments"


def refuse_unknown(node: Mapping, known: tuple[str, ...], *, where: str) -> None:
    """Raise where a dict holds a key that is not known.

    Raises:
        ConfigError: With the path of the key and the nearest right one.
    """
    for key in node:
        if key in known or key in ("type", "_delete_"):
            continue
        guess = nearest(str(key), known)
        fix = f"did you mean {guess}?" if guess else f"known here: {', '.join(sorted(known))}"
        raise ConfigError("nothing reads this key", where=f"{where}.{key}", fix=fix)
