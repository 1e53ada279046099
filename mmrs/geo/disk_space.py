"""How much space there is, before a scene is begun and where a file cannot be written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from mmrs.errors import OutputError

# of the bytes uncompressed: where a scene is all one class, and deflate at its best (1 : 1032);
# and as measured on blended maps and scores of trained models
_LEAST, _LIKELY_LABELS, _LIKELY_SCORES = 0.001, 0.15, 0.9
_COPIES = 2  # the rows that wait, and the file that is made of them
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def free_bytes(path: str | Path) -> int | None:
    """Bytes free where a file lies or will lie; None where nobody knows."""
    for folder in Path(path).absolute().parents:
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def check_space(target: str | Path, *, label_bytes: int, score_bytes: int) -> str | None:
    """Ask before hours of work whether the disk can hold what comes of them.

    An estimate, since what compression leaves of the rows is not known before: on sparse scenes
    next to nothing.

    Args:
        target: What will be written.
        label_bytes: Bytes of the labels that are still to come, uncompressed.
        score_bytes: Of the scores, likewise.

    Returns:
        A warning where it is likely to be too little; None where it seems enough.

    Raises:
        OutputError: Where it is too little even for a scene of a single class.
    """
    free = free_bytes(target)
    if free is None:
        return None
    least = int(_COPIES * _LEAST * (label_bytes + score_bytes))
    likely = int(_COPIES * (_LIKELY_LABELS * label_bytes + _LIKELY_SCORES * score_bytes))
    if free < least:
        raise OutputError(
            f"at least {least:,} bytes are needed, {free:,} bytes free",
            where=target,
            fix="free space on the disk, or choose another place",
        )
    if free < likely:
        return f"{target}: may need {likely:,} bytes, {free:,} bytes free"
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
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # of GDAL, whose errors have no number, or one of its own
        cause = getattr(error, "__cause__", None) or error  # rasterio's own says "see above"
        told, is_full = [" ".join(str(cause).split())], True
    else:
        told, is_full = [os.strerror(number)], number in _FULL
    if is_full:
        if needed is not None:
            told.append(f"{needed:,} bytes more needed")
        free = free_bytes(target)
        if free is not None:
            told.append(f"{free:,} bytes free")
    fix = "free space on the disk" if is_full else "choose a place that can be written"
    return OutputError(f"cannot be written ({', '.join(told)})", where=target, fix=fix)
