"""From which checkpoint a killed run goes on."""

from __future__ import annotations

import logging
import pickle
import re
import zipfile
from pathlib import Path

import torch
from mmengine.logging import print_log

from mmrs.errors import CheckpointError

_NAME = re.compile(r"(?:iter|epoch)_(\d+)\.pth")


def find_resume_point(work_dir: str | Path) -> Path | None:
    """The latest whole checkpoint of a run.

    MMEngine believes ``last_checkpoint``, which a run that was killed may have left empty, leading
    to half a file, or to the checkpoint before the latest. What is passed over is told in the log.

    Args:
        work_dir: Of the run. ``last_checkpoint`` may lead to another folder (``out_dir`` of
            MMEngine's ``CheckpointHook``).

    Returns:
        None where there is nothing to go on from: no checkpoint was saved to its end.

    Raises:
        CheckpointError: Checkpoints were saved, and none is there and whole.
    """
    pointer = Path(work_dir) / "last_checkpoint"
    told = _content(pointer)
    named = _named(told, pointer)
    folder = Path(work_dir) if named is None else named.parent
    found = [path for path in folder.glob("*.pth") if _NAME.fullmatch(path.name)]
    found.sort(key=lambda path: (path.stat().st_mtime_ns, _number(path)), reverse=True)
    if named is not None:  # saved last, and by a user's hook perhaps under another name
        # unless the run was killed before the pointer followed
        newer = [path for path in found if _saved_after(path, named, pointer)]
        older = [path for path in found if path != named and path not in newer]
        found = [*newer, named, *older]
    for path in found:
        if is_whole(path):
            return path
        print_log(f"{path}: only part of it was saved; passed over", "current", logging.WARNING)
    if told and not found:
        raise CheckpointError(
            f"it names {told}, which is not there",
            where=pointer,
            fix="bring the checkpoint back, or leave --resume out to start again",
        )
    if found and pointer.exists():
        raise CheckpointError(
            f"none of {len(found)} checkpoints is whole",
            where=folder,
            fix="leave --resume out to start again",
        )
    return None


def is_whole(path: Path) -> bool:
    """Whether a checkpoint was saved to its end and is undamaged: PyTorch's are zip archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        # PyTorch's own reader is stricter about headers
        torch.load(path, map_location="meta", weights_only=True)
    except pickle.UnpicklingError:
        return True  # what else is in it is for who loads it to judge
    except Exception:  # of damaged headers zipfile makes a dozen kinds
        return False
    return True


def _content(pointer: Path) -> str:
    if not pointer.is_file():
        return ""
    # after a loss of power it may hold anything
    return pointer.read_text(encoding="utf-8", errors="replace").strip("\0 \t\r\n")


def _named(told: str, pointer: Path) -> Path | None:
    """The file that the pointer leads to: beside it, as the folder may have been moved, or away."""
    for path in (pointer.parent / Path(told).name, Path(told)):
        try:
            if told and path.is_file():
                return path
        except OSError:  # no name that can be
            continue
    return None


def _saved_after(path: Path, named: Path, pointer: Path) -> bool:
    later = path.stat().st_mtime_ns >= pointer.stat().st_mtime_ns
    return later and _number(path) > _number(named) >= 0


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else -1
