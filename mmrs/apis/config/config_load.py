"""A config file and its overrides, read with one line about what is wrong with them."""

from __future__ import annotations

import argparse
import ast
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from mmrs.apis.cli import UsageError
from mmrs.errors import ConfigError


def load_config(
    config: str | Path | Config, *, cfg_options: Mapping[str, Any] | None = None
) -> Config:
    """Read a config file and merge overrides into it.

    Args:
        config: The file, or a config that is already there (copied, not changed).
        cfg_options: Dotted key -> value.

    Raises:
        ConfigError: No such file, it cannot be run, or an override names a key near a
            misspelling of which there is one.
    """
    if isinstance(config, Config):
        cfg = config.copy()
    else:
        cfg = _read(Path(config))
    if cfg_options:
        for key in cfg_options:
            _check_option(cfg, key)
        try:
            cfg.merge_from_dict(dict(cfg_options))
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"cannot be merged into the config ({_text(error)})",
                where=f"--cfg-options {' '.join(cfg_options)}",
                fix="write key=value with a key of the config",
            ) from error
    return cfg


def parse_cfg_options(items: Sequence[str] | None) -> dict[str, Any]:
    """Turn ``key=value`` words of a command line into a dict, as MMEngine reads them.

    Raises:
        UsageError: A word is no ``key=value``.
    """
    if not items:
        return {}
    for item in items:
        if "=" not in item:
            raise UsageError(
                f"{item!r} is not key=value",
                where="--cfg-options",
                fix="write key=value without spaces around =, and quote lists: key='[1,2]'",
            )
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    try:
        return dict(parser.parse_args(["--cfg-options", *items]).cfg_options)
    except (ValueError, AssertionError) as error:
        raise UsageError(
            f"{' '.join(items)!r} cannot be read ({_text(error)})",
            where="--cfg-options",
            fix="close the brackets and quotes of every value",
        ) from error


def nearest(name: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """Return the name in ``known`` that ``name`` looks like, case aside, or None."""
    lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return lower[found[0]] if found else None


def _read(path: Path) -> Config:
    if not path.is_file():
        folder = path.parent
        siblings = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
        guess = nearest(path.name, siblings)
        if guess is not None:
            fix = f"did you mean {folder / guess}?"
        elif not folder.is_dir():
            fix = f"there is no folder {folder}; check the path"
        else:
            fix = "check the path"
        raise ConfigError("there is no such config file", where=path, fix=fix)
    try:
        return Config.fromfile(str(path))
    except SyntaxError as error:
        raise ConfigError(
            f"no Python ({error.msg})",
            where=f"{_syntax_error_file(error, path)}:{error.lineno}",
            fix="mend the line",
        ) from error
    except FileNotFoundError as error:
        raise ConfigError(
            f"inherits a file that is not there ({error.filename or _text(error)})",
            where=f"{path}: _base_",
            fix="check the paths in _base_; they are relative to the config",
        ) from error
    except ImportError as error:
        raise ConfigError(
            f"imports what is not there ({_text(error)})",
            where=path,
            fix="install it, or mend custom_imports",
        ) from error
    except Exception as error:
        raise ConfigError(
            f"cannot be read ({type(error).__name__}: {_text(error)})",
            where=path,
            fix="mend the config; --debug shows where",
        ) from error


def _syntax_error_file(error: SyntaxError, path: Path) -> str:
    # MMEngine parses the text of a file, and the parser does not know its name
    named = error.filename and not error.filename.startswith("<")
    return str(error.filename) if named else str(path)


def _check_option(cfg: Config, key: str) -> None:
    """Refuse an override whose path leaves the config one letter away from an existing key."""
    node: Any = cfg._cfg_dict
    done = ""
    for part in key.split("."):
        if isinstance(node, Mapping):
            if part not in node:
                guess = nearest(part, [str(k) for k in node], cutoff=0.8)
                if guess is not None:
                    raise ConfigError(
                        f"the config has no key {done + part!r}",
                        where=f"--cfg-options {key}",
                        fix=f"did you mean {done + guess}?",
                    )
                return
            node = node[part]
        elif isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f"{done[:-1]!r} is a list of {len(node)}, and {part!r} is no index of it",
                    where=f"--cfg-options {key}",
                    fix=f"write a number from 0 to {len(node) - 1}"
                    if len(node)
                    else "set the whole list",
                )
            node = node[int(part)]
        else:
            raise ConfigError(
                f"{done[:-1]!r} is {node!r}, which has no keys",
                where=f"--cfg-options {key}",
                fix=f"override {done[:-1]} as a whole",
            )
        done += f"{part}."


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    # a KeyError's text is the repr of its key
    if isinstance(error, KeyError) and text[:1] in "'\"":
        text = str(ast.literal_eval(text))
    return text[:300] or type(error).__name__
