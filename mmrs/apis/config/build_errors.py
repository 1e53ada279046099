"""What a constructor's exception means in terms of the config that called it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine import registry as root
from mmengine.config import Config

from mmrs.apis.cli import find_mmrs_error
from mmrs.apis.config.config_keys import accepted_parameters
from mmrs.apis.config.config_load import nearest
from mmrs.apis.config.config_types import config_name, resolve, unknown_type
from mmrs.errors import ConfigError, MmrsError

_UNEXPECTED = re.compile(
    r"(?:(\w+)\.__init__|(\w+))\(\) got an unexpected keyword argument '(\w+)'"
)
_MISSING = re.compile(r"(?:(\w+)\.__init__|(\w+))\(\) missing \d+ required .*?argument[s]?: (.*)")
_UNREGISTERED = re.compile(r"(\S+) is not in the (?:\S+::)?(.+?) registry")
_FAILED_TO_GET = re.compile(r"Failed to get (\S+)$")


def explain_build_error(error: Exception, cfg: Config, key: str) -> MmrsError:
    """Return the error to raise for ``error``, which building ``cfg.key`` raised.

    Args:
        error: What was raised.
        cfg: The whole config.
        key: The dotted key of what was being built; empty for the whole config.
    """
    known = find_mmrs_error(error)
    if known is not None:
        return known
    name, text = config_name(cfg), " ".join(str(error).split())
    node = _at(cfg, key)
    for pattern, explain in (
        (_UNEXPECTED, _unexpected),
        (_MISSING, _missing),
        (_UNREGISTERED, _unregistered),
        (_FAILED_TO_GET, _unregistered),
    ):
        match = pattern.search(text)
        if match is not None:
            told = explain(match, node, name, key)
            if told is not None:
                return told
    return ConfigError(
        f"cannot be built ({type(error).__name__}: {text[:300]})",
        where=f"{name}: {key}" if key else name,
        fix="mend that part of the config; --debug shows where it failed",
    )


def _unexpected(match: re.Match, node: Any, name: str, key: str) -> ConfigError:
    cls, argument = match.group(1) or match.group(2), match.group(3)
    paths = [(p, n) for p, n in _typed(node, key) if argument in n]
    # a base class refuses what its subclass hands on, so the type need not be the class
    path, holder = next(
        ((p, n) for p, n in paths if str(n["type"]).endswith(cls)), paths[0] if paths else (key, {})
    )
    names: list[str] = []
    for registry in (root.MODELS, root.DATASETS, root.TRANSFORMS, root.HOOKS, root.METRICS):
        target = resolve(str(holder.get("type")), registry) if holder else None
        if target is not None:
            names = sorted(accepted_parameters(target)[0] - set(holder))
            break
    guess = nearest(argument, names)
    return ConfigError(
        f"{holder.get('type', cls) if holder else cls} takes no {argument!r}",
        where=f"{name}: {path}.{argument}",
        fix=f"did you mean {guess}?" if guess else "take it out",
    )


def _missing(match: re.Match, node: Any, name: str, key: str) -> ConfigError:
    cls, arguments = match.group(1) or match.group(2), match.group(3).replace("'", "")
    path = next((p for p, n in _typed(node, key) if str(n["type"]).endswith(cls)), key)
    return ConfigError(
        f"{cls} needs {arguments}", where=f"{name}: {path}", fix=f"set {arguments} there"
    )


def _unregistered(match: re.Match, node: Any, name: str, key: str) -> ConfigError | None:
    kind = match.group(1)
    path = next((p for p, n in _typed(node, key) if n["type"] == kind), None)
    if path is None:
        return None
    registry = root.MODELS
    if match.re is _UNREGISTERED:
        registry = next(
            (r for r in vars(root).values() if getattr(r, "name", None) == match.group(2)),
            root.MODELS,
        )
    return unknown_type(kind, registry, where=f"{name}: {path}.type")


def _at(cfg: Config, key: str) -> Any:
    node: Any = cfg._cfg_dict
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return cfg._cfg_dict
        node = node[part]
    return node


def _typed(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Yield (dotted key, dict) of every dict with a type."""
    if isinstance(node, Mapping):
        if "type" in node:
            yield path, node
        for child, value in node.items():
            yield from _typed(value, f"{path}.{child}" if path else str(child))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _typed(value, f"{path}[{index}]")
