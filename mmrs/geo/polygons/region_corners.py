"""Where the borders of regions of equal labels turn, and where three regions meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.polygons.rings import KEPT, LOWER, REGION_BELOW, RIGHT, CornerGrid

# The four pixels round a place, each by (rows down, columns right) from the upper left one.
_UPPER_LEFT, _UPPER_RIGHT, _LOWER_LEFT, _LOWER_RIGHT = (0, 0), (0, 1), (1, 0), (1, 1)
_PIXELS = (_UPPER_LEFT, _UPPER_RIGHT, _LOWER_LEFT, _LOWER_RIGHT)
# The halves round a place: the two pixels, and the code of the place's two entries.
_HALVES = (
    (_UPPER_LEFT, _UPPER_RIGHT, 0),
    (_LOWER_LEFT, _LOWER_RIGHT, REGION_BELOW),
    (_UPPER_LEFT, _LOWER_LEFT, REGION_BELOW),
    (_UPPER_RIGHT, _LOWER_RIGHT, 0),
)


def region_corners(
    labels: NDArray[np.uint8],
    ids: NDArray[np.int32],
    grid: CornerGrid,
    *,
    first_row: int,
    nodata: int,
    junctions: bool = False,
    kept: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corners on the upper sides of rows, packed for ``mmrs.geo.polygons.rings``.

    Args:
        labels: The row above the first, nodata where there is none, and n rows: (n + 1, W).
        ids: Of the run of every pixel, (n + 1, W).
        grid: How corners are packed.
        first_row: Number of the first of the n rows in the scene.
        nodata: The label that belongs to no region.
        junctions: Places where three regions meet are corners of all three, also of the one
            whose border goes straight on: neighbours then have the same points on the border
            that they share.
        kept: Which corners stay in the polygons, (n, W + 1); by default all. Junctions stay
            whatever it says, and kept places of borders that run straight down become corners.

    Returns:
        Id of the run that each corner belongs to, (N,), and the corners, (N,).
    """
    padded = np.pad(labels, ((0, 0), (1, 1)), constant_values=nodata)
    beside = padded[:, :-1] == padded[:, 1:]  # (n + 1, W + 1)
    below = padded[:-1] == padded[1:]  # (n, W + 2)
    straight_down = below[:, :-1] & below[:, 1:]
    if kept is not None:
        straight_down &= ~kept
    rows, cols = np.nonzero(~(beside[:-1] & beside[1:]) & ~straight_down)
    around = {(i, j): padded[rows + i, cols + j] for i, j in _PIXELS}
    stays = None if kept is None else kept[rows, cols]
    found = [_turns(pixel, around, nodata, stays) for pixel in _PIXELS]
    if junctions or kept is not None:
        found += [
            _passes(half, around, nodata, at) for half in _HALVES for at in (0, RIGHT | LOWER)
        ]
    owners, corners = [], []
    for (i, j), chosen, codes in found:
        # column j of `padded` is column j - 1 of `ids`
        owners.append(ids[rows[chosen] + i, cols[chosen] + j - 1])
        corners.append(grid.pack(rows[chosen] + first_row, cols[chosen], codes))
    return np.concatenate(owners).astype(np.int64), np.concatenate(corners)


Pixel = tuple[int, int]
Around = dict[Pixel, NDArray[np.uint8]]
Found = tuple[Pixel, NDArray[np.int64], NDArray[np.int64] | int]


def _turns(pixel: Pixel, around: Around, nodata: int, stays: NDArray[np.bool_] | None) -> Found:
    """Places where the border of a pixel's region turns round this pixel, or opposite to it."""
    row, col = pixel
    own = around[pixel]
    beside = own == around[row, 1 - col]
    above = own == around[1 - row, col]
    across = own == around[1 - row, 1 - col]
    chosen = np.flatnonzero((beside == above) & ~(beside & across) & (own != nodata))
    code = RIGHT * col | LOWER * (1 - row) | REGION_BELOW * row
    if stays is None:
        return pixel, chosen, code | KEPT
    return pixel, chosen, code | stays[chosen] * KEPT


def _passes(half: tuple[Pixel, Pixel, int], around: Around, nodata: int, at: int) -> Found:
    """Places where the border of a region goes straight on, as one of two entries.

    The two end the pieces of border on either side; an empty piece joins them. One of them is
    kept: they are the same point.
    """
    one, other, code = half
    own = around[one]
    opposite = around[1 - other[0], 1 - other[1]], around[1 - one[0], 1 - one[1]]
    chosen = (own == around[other]) & (own != opposite[0]) & (own != opposite[1]) & (own != nodata)
    return one, np.flatnonzero(chosen), code | at | (KEPT if at == 0 else 0)
