"""Sums over the pixels of each class, to float32's full precision."""

from __future__ import annotations

from torch import Tensor


def class_sums(values: Tensor, index: Tensor, num_classes: int) -> Tensor:
    """Sum the values of each class, image by image.

    Rows are summed first, then the rows' sums. A single float32 bin that takes a whole batch one
    number after the other rounds each of the later ones: from 2^20 on, 0.98 counts as 1.

    Args:
        values: (B, H, W) float.
        index: (B, H, W) int64, the class of each value, 0 .. num_classes - 1.
        num_classes: K.

    Returns:
        (B, K) in the type of ``values``, differentiable in them.
    """
    b, h, w = values.shape
    rows = values.new_zeros(b * h, num_classes)
    rows = rows.scatter_add(1, index.reshape(b * h, w), values.reshape(b * h, w))
    return rows.view(b, h, num_classes).sum(1)
