"""Errors of writing that say how much space there is."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from mmrs.errors import OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def free_bytes(path: str | Path) -> int | None:
    """Bytes free where a file lies or will lie; None where nobody knows."""
    for folder in Path(path).absolute().parents:
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def write_error(
    target: str | Path, error: BaseException | str, *, needed: int | None = None
) -> OutputError:
    """What to raise where a file cannot be written.

    Args:
        target: What was to be written, in the end.
        error: The cause.
        needed: Bytes that were to be written, as far as one knows.
    """
    told = [str(error)]
    number = getattr(error, "errno", None)
    fix = "choose a place that can be written"
    if isinstance(error, OSError):
        told = [str(error.strerror)]
    if not isinstance(error, OSError) or number in _FULL:
        fix = "free space on the disk"
        free = free_bytes(target)
        if needed is not None:
            told.append(f"{needed:,} bytes more needed")
        if free is not None:
            told.append(f"{free:,} bytes free")
    return OutputError(f"cannot be written ({', '.join(told)})", where=target, fix=fix)
