"""What a label map may hold, and the one line that says where it does not.

NumPy only, so that data loading, evaluation and the checks before a run share one rule.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrs.errors import LabelError


def find_invalid_label(
    labels: NDArray, *, num_classes: int, ignore_index: int
) -> tuple[int, int, int] | None:
    """Return (value, row, col) of the first label that is no class and not ignored.

    Args:
        labels: (H, W) integers.
        num_classes: Ids 0 .. num_classes - 1 are classes.
        ignore_index: The one other id that is allowed.

    Returns:
        The first such pixel in row order, or None.
    """
    invalid = labels >= num_classes
    if labels.dtype.kind != "u":
        invalid |= labels < 0
    # most maps hold no ignored pixel or few: look twice only where it is needed
    if not invalid.any():
        return None
    invalid &= labels != ignore_index
    if not invalid.any():
        return None
    row, col = np.unravel_index(int(invalid.argmax()), labels.shape)
    return int(labels[row, col]), int(row), int(col)


def check_labels(
    labels: NDArray,
    *,
    num_classes: int,
    ignore_index: int = 255,
    where: str | Path | None = None,
    reduce_zero_label: bool | None = None,
) -> None:
    """Raise where a label map holds an id that is no class and not the ignored one.

    Args:
        labels: (H, W) integers, as the model is trained or judged on.
        num_classes: Number of classes of the data set.
        ignore_index: The id that counts as no class.
        where: The label file.
        reduce_zero_label: The data set's setting; False adds a hint, because an id equal to
            ``num_classes`` is what forgetting it looks like. None: not known.

    Raises:
        LabelError: With the file, the value and its pixel.
    """
    found = find_invalid_label(labels, num_classes=num_classes, ignore_index=ignore_index)
    if found is None:
        return
    value, row, col = found
    fix = (
        f"map it after LoadAnnotations, dict(type='mmrs.MapLabels', label_map={{{value}: "
        f"{ignore_index}}}), or set num_classes={value + 1} with a class name for it"
    )
    if value < 0 or value >= 255:
        fix = fix.split(", or set")[0]
    if reduce_zero_label is False and value == num_classes:
        fix = f"set reduce_zero_label=True if the file's 0 means no data; otherwise {fix}"
    raise LabelError(
        f"value {value} at (row {row}, col {col}), but classes has {num_classes} "
        f"(0-{num_classes - 1})",
        where=where,
        fix=fix,
    )


def check_label_shape(labels: NDArray, *, where: str | Path | None = None) -> None:
    """Raise where a label is not a map of ids: a colour picture, or worse.

    Args:
        labels: What was read.
        where: The label file.

    Raises:
        LabelError: With the number of colours where it is a picture.
    """
    if labels.ndim == 2:
        return
    if labels.ndim != 3 or labels.shape[2] not in (3, 4):
        raise LabelError(
            f"a label map must be (rows, columns), got shape {labels.shape}",
            where=where,
            fix="save one channel of class ids",
        )
    raise LabelError(
        f"a colour picture ({labels.shape[2]} channels{_colours_told(labels)}), "
        "but labels must be class ids",
        where=where,
        fix="give the colour map: dict(type='mmrs.MapColors', colors=[(r, g, b), ...]) after "
        "LoadAnnotations, one colour a class",
    )


def _colours_told(picture: NDArray) -> str:
    """The number of colours in words; nothing where they are no whole numbers."""
    if picture.dtype.kind not in "iu" or picture.dtype.itemsize > 2:
        return ""
    # packed: NumPy sorts rows of three numbers a hundred times slower than one
    packed = np.zeros(picture.shape[:2], dtype=np.int64)
    for channel in range(3):
        packed = packed << 17 | (picture[..., channel].astype(np.int64) & 0x1FFFF)
    return f", {len(np.unique(packed))} colours"
