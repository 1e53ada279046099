"""From which checkpoint a killed run goes on."""

from __future__ import annotations

import logging
import re
import zipfile
from pathlib import Path

from mmengine.logging import print_log

from mmrs.errors import CheckpointError

_NAME = re.compile(r"(?:iter|epoch)_(\d+)\.pth")


def find_resume_point(work_dir: str | Path) -> Path | None:
    """The latest whole checkpoint of a run.

    MMEngine believes ``last_checkpoint``, which a run that was killed may have left empty or
    leading to half a file. What is passed over is told in the log.

    Args:
        work_dir: Of the run.

    Returns:
        None where there is nothing to go on from.

    Raises:
        CheckpointError: There are checkpoints, and none is whole.
    """
    folder = Path(work_dir)
    found = [path for path in folder.glob("*.pth") if _NAME.fullmatch(path.name)]
    found.sort(key=lambda path: (path.stat().st_mtime_ns, _number(path)), reverse=True)
    pointer = folder / "last_checkpoint"
    if pointer.is_file():
        named = folder / Path(pointer.read_text(encoding="utf-8").strip()).name
        if named.is_file():  # saved last, and by a user's hook perhaps under another name
            found = [named, *(path for path in found if path != named)]
    for path in found:
        if is_whole(path):
            return path
        print_log(f"{path}: only part of it was saved; passed over", "current", logging.WARNING)
    if found:
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
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else -1
