"""From the corners of a region of pixels to its polygon: no walk along the border is needed.

A region's border turns at its corners only. Along a line of the pixel grid the corners come in
pairs, one pair for each straight piece of border: sorted by row and column, the first and the
second, the third and the fourth, ... are joined by horizontal pieces; sorted by column and row,
by vertical ones. So a region that is still growing needs no more than its corners kept, in any
order, and its rings are put together when it is complete.

Where two pixels of a region touch at a point only, it has two corners there, and which belongs to
which ring is chosen so that the rings touch and do not cross: holes stay holes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from mmrs.geo.georeference import to_coordinates

# What the lowest bits of a packed corner say. The two order corners at one place: which belongs
# to the piece on the left, and which to the piece above.
RIGHT, LOWER, REGION_BELOW, KEPT = 8, 4, 2, 1
CODE_BITS = 4


class CornerGrid(NamedTuple):
    """How places of the pixel grid are packed into one number each.

    Attributes:
        col_bits: For the column of a corner, 0 to the width.
    """

    col_bits: int

    def pack(
        self, rows: NDArray[np.int64], cols: NDArray[np.int64], codes: NDArray[np.int64] | int
    ) -> NDArray[np.int64]:
        """Numbers that sort by row, column and code."""
        packed: NDArray[np.int64] = ((rows << self.col_bits | cols) << CODE_BITS) | codes
        return packed


def polygons_of(
    regions: NDArray[np.int64],
    corners: NDArray[np.int64],
    grid: CornerGrid,
    *,
    count: int,
    transform: Affine | None = None,
) -> NDArray[Any]:
    """Polygons of complete regions.

    Args:
        regions: Region of each corner, 0 to ``count`` - 1, (N,).
        corners: Packed, (N,), in any order; all that the regions have.
        grid: How they are packed.
        count: Regions; each has corners.
        transform: Pixel (column, row) -> coordinates; None leaves pixels.

    Returns:
        Shapely polygons, (count,): exterior counter-clockwise in the coordinates, holes
        clockwise.
    """
    if count == 0:
        return np.empty(0, dtype=object)
    top = int(corners.min() >> (grid.col_bits + CODE_BITS))
    low = corners - (top << (grid.col_bits + CODE_BITS))
    bits = int(low.max()).bit_length()
    if bits + int(count).bit_length() > 63:  # too many regions for one number: by halves
        half = count // 2
        first = regions < half
        parts = (
            polygons_of(regions[first], corners[first], grid, count=half, transform=transform),
            polygons_of(
                regions[~first] - half,
                corners[~first],
                grid,
                count=count - half,
                transform=transform,
            ),
        )
        return np.concatenate(parts)
    keys = (regions << bits) | low
    keys.sort()
    low = keys & ((1 << bits) - 1)
    codes = low & ((1 << CODE_BITS) - 1)
    cols = (low >> CODE_BITS) & ((1 << grid.col_bits) - 1)
    rows = low >> (CODE_BITS + grid.col_bits)
    regions = keys >> bits
    mirrored = transform is not None and transform.determinant < 0
    vertices, first_vertices = _rings(regions, rows, cols, codes, mirrored)
    xs: Any = cols[vertices]
    ys: Any = rows[vertices] + top
    if transform is not None:
        xs, ys = to_coordinates(transform, xs, ys)
    lengths = np.diff(first_vertices, append=len(vertices))
    keep = (codes[vertices] & KEPT) != 0
    ring_of_vertex = np.repeat(np.arange(len(lengths)), lengths)
    points = np.column_stack([xs, ys]).astype(np.float64)
    rings = shapely.linearrings(points[keep], indices=ring_of_vertex[keep])
    return np.asarray(shapely.polygons(rings, indices=regions[vertices[first_vertices]]))


def _rings(
    regions: NDArray[np.int64],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    codes: NDArray[np.int64],
    mirrored: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corners in the order of the rings, and where in it each ring begins.

    The corners come sorted by region, row and column, so each region's exterior ring, which has
    its highest corner, comes first.
    """
    row_bits, col_bits = int(rows.max()).bit_length(), int(cols.max()).bit_length()
    keys = regions << (row_bits + col_bits + 1) | cols << (row_bits + 1) | rows << 1
    keys |= (codes & LOWER) != 0
    by_column = np.argsort(keys)
    across = np.empty_like(by_column)  # the other end of a corner's vertical piece
    across[by_column[::2]] = by_column[1::2]
    across[by_column[1::2]] = by_column[::2]
    # horizontal pieces run so that the region lies on one hand all the way round
    rightwards = ((codes[::2] & REGION_BELOW) != 0) != mirrored
    left = np.arange(0, len(codes), 2)
    start, end = left + ~rightwards, left + rightwards
    order, first = _cycles(across[end] >> 1)
    vertices = np.empty(len(codes), dtype=np.int64)
    vertices[::2], vertices[1::2] = start[order], end[order]
    return vertices, 2 * first


def _cycles(successor: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cycles of a permutation, one after the other: elements, and where each cycle begins."""
    # one step of a list is faster than all that arrays do to rank a chain
    following = successor.tolist()
    seen = bytearray(len(following))
    order: list[int] = []
    first: list[int] = []
    add = order.append
    for element in range(len(following)):
        if seen[element]:
            continue
        first.append(len(order))
        while not seen[element]:
            seen[element] = 1
            add(element)
            element = following[element]
    return np.array(order, dtype=np.int64), np.array(first, dtype=np.int64)
