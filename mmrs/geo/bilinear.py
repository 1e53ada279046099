"""Bilinear resizing of arrays of any type and any number of bands, without another library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize_bilinear(
    values: NDArray[Any], height: int, width: int, *, axes: tuple[int, int] = (0, 1)
) -> NDArray[Any]:
    """Resize two axes of an array; pixels are areas, so borders fall onto borders.

    The same as ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``: each new
    pixel lies between the two nearest old centres, without a filter where the array shrinks.

    Args:
        values: Of any real type, in any shape.
        height: New length of the first of ``axes``, at least 1.
        width: New length of the second.
        axes: Which two.

    Returns:
        A new array of the same type; whole numbers are rounded, halves to the even one.

    Raises:
        ValueError: If a length is below 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be >= 1, got {height} and {width}")
    resized = values.astype(np.result_type(values.dtype, np.float32))
    for axis, length in zip(axes, (height, width), strict=True):
        resized = _resize_axis(resized, length, axis)
    if values.dtype.kind in "iu":
        # a mean of values lies among them: nothing to clip
        np.rint(resized, out=resized)
    return resized.astype(values.dtype, copy=False)


def _resize_axis(values: NDArray[Any], length: int, axis: int) -> NDArray[Any]:
    old = values.shape[axis]
    if length == old:
        return values
    places = np.clip((np.arange(length) + 0.5) * (old / length) - 0.5, 0, old - 1)
    below = np.floor(places).astype(np.intp)
    above = np.minimum(below + 1, old - 1)
    shape = [1] * values.ndim
    shape[axis] = length
    share = (places - below).astype(values.dtype).reshape(shape)
    resized = values.take(above, axis)
    resized *= share
    share = 1 - share
    resized += values.take(below, axis) * share
    return resized
