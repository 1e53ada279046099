"""Strips of a scene that one of several processes keeps: rows in a spool of their own."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mmrs.geo.rows.locked_file import is_held
from mmrs.geo.rows.row_spool import spool_path

_STRIP = re.compile(r"\.(?P<name>.+)\.rows\d+-\d+(?P<suffix>\.[^.]+)\.mmrs-rows", re.DOTALL)


def strip_target(target: str | Path, rows: range) -> Path:
    """What a spool of some rows of a target is named after; no such file is ever written."""
    target = Path(target)
    return target.with_name(f"{target.stem}.rows{rows.start}-{rows.stop}{target.suffix}")


def remove_strips(targets: Iterable[str | Path]) -> list[Path]:
    """Remove the strips of targets that no process holds; each folder is read once.

    Returns:
        What was removed.
    """
    names = defaultdict(set)
    for target in map(Path, targets):
        names[target.parent].add(target.name)
    removed = []
    for folder, wanted in names.items():
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for entry in list(os.scandir(folder)):
                found = _STRIP.fullmatch(entry.name)
                if found is None or found["name"] + found["suffix"] not in wanted:
                    continue
                if not is_held(Path(entry.path)):
                    Path(entry.path).unlink(missing_ok=True)
                    removed.append(Path(entry.path))
    return removed


def remove_strip(target: str | Path, rows: range) -> None:
    """Remove one strip, where it is there."""
    spool_path(strip_target(target, rows)).unlink(missing_ok=True)
