"""Which corners of a class map's borders may go, decided once for both sides of each border.

The borders of a class map are lines between the places where three regions meet. They are made
simpler as lines, not polygon by polygon, so neighbours keep sharing them: no gap and no overlap
can arise. What decides on a corner is the strip of rows that it lies in, and the corners on the
lines between strips stay, so a map of any height is made simpler as it comes, whatever the pieces.

A piece of a line becomes straight where no corner of it lies farther than the tolerance from the
straight piece, and no point of any other line lies in the convex hull of the corners that go: so
lines never cross or touch, and regions never collapse.

Source: Douglas and Peucker, "Algorithms for the reduction of the number of points required to
represent a digitized line or its caricature", 1973. That the hull be free is enough for lines to
keep their topology: each straight piece can be reached from its piece of border without passing
an end of another.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.polygons.border_arcs import Arcs, border_arcs

STRIP_ROWS, STRIP_PX = 256, 1 << 22


def rows_of_strip(width: int) -> int:
    """Rows of a strip: 256, and of maps wider than 16,384 columns fewer, to bound the memory."""
    return max(1, min(STRIP_ROWS, STRIP_PX // width))


def kept_corners(
    labels: NDArray[np.uint8],
    tolerance_px: float,
    *,
    keep_outline: bool = True,
    nodata: int = NODATA_LABEL,
) -> NDArray[np.bool_]:
    """Corners that stay when the borders inside a strip are made simpler.

    Args:
        labels: Class indices, (n, W).
        tolerance_px: How far a corner that goes may lie from the new line, in pixels.
        keep_outline: Borders with nodata keep all corners.
        nodata: The label of what has no class.

    Returns:
        (n + 1, W + 1): whether the corner above and left of each pixel stays; those on the
        upper and the lower side of the strip do. For ``PolygonStream.push``, less the last row.

    Raises:
        ValueError: The tolerance is negative or not finite.
    """
    if not 0 <= tolerance_px < float("inf"):
        raise ValueError(f"tolerance must be >= 0, got {tolerance_px}")
    kept = np.zeros((labels.shape[0] + 1, labels.shape[1] + 1), dtype=bool)
    kept[[0, -1]] = True
    used = np.zeros(256, dtype=bool)
    used[labels] = True
    free = np.flatnonzero(~used)
    outside = nodata if keep_outline or not len(free) else int(free[0])
    if np.all(labels == outside):
        return kept
    arcs = border_arcs(labels, _fixed(labels, outside), outside=outside)
    stays = _simplified(arcs, tolerance_px**2)
    kept[arcs.rows[stays], arcs.cols[stays]] = True
    return kept


def _fixed(labels: NDArray[np.uint8], outside: int) -> NDArray[np.bool_]:
    """Places where more than two regions meet, round what is outside, and round the strip."""
    beside = labels[:, 1:] != labels[:, :-1]
    below = labels[1:] != labels[:-1]
    sides = beside[1:].astype(np.uint8) + beside[:-1] + below[:, 1:] + below[:, :-1]
    fixed = np.ones((labels.shape[0] + 1, labels.shape[1] + 1), dtype=bool)
    fixed[1:-1, 1:-1] = sides > 2
    missing = labels == outside
    for rows in (slice(0, -1), slice(1, None)):
        for cols in (slice(0, -1), slice(1, None)):
            fixed[rows, cols] |= missing
    return fixed


def _simplified(arcs: Arcs, tolerance2: float) -> NDArray[np.bool_]:
    """Which points stay, (V,); ends of lines do."""
    stays = np.zeros(len(arcs.cols), dtype=bool)
    stays[arcs.first], stays[arcs.last] = True, True
    width = int(arcs.cols.max()) + 1
    places = np.unique(arcs.rows * width + arcs.cols)
    tree = shapely.STRtree(shapely.points(places % width, places // width))
    todo = np.column_stack([arcs.first, arcs.last, arcs.first])
    done = np.empty((0, 3), dtype=np.int64)  # pieces that are straight now: ends, and farthest
    while True:
        bent = todo[:, 1] > todo[:, 0] + 1
        done = np.concatenate([done, todo[~bent]])
        todo = todo[bent]
        if len(todo):
            first, last, _ = todo.T
            todo[:, 2], distance2 = _farthest(arcs, first, last)
            split = (distance2 > tolerance2) | _closed(arcs, first, last)
            split[~split] = _hits_others(arcs, first[~split], last[~split], tree)
            done = np.concatenate([done, todo[~split]])
            todo = todo[split]
        if not len(todo):
            again = _lie_on_each_other(arcs, done)
            if not again.any():
                return stays
            done, todo = done[~again], done[again]
        first, last, farthest = todo.T
        stays[farthest] = True
        todo = np.concatenate(
            [np.column_stack([first, farthest, first]), np.column_stack([farthest, last, first])]
        )


def _lie_on_each_other(arcs: Arcs, pieces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pieces with points between their ends have the ends of another piece, (P,)."""
    first, last, _ = pieces.T
    width = int(arcs.cols.max()) + 1
    one = arcs.rows[first] * width + arcs.cols[first]
    other = arcs.rows[last] * width + arcs.cols[last]
    # a strip has fewer than 2**31 places
    ends = np.minimum(one, other) << 31 | np.maximum(one, other)
    _, which, times = np.unique(ends, return_inverse=True, return_counts=True)
    return np.asarray((times[which] > 1) & (last > first + 1))


def _farthest(
    arcs: Arcs, first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of the points between two: the one farthest from the straight piece, and how far, squared."""
    counts = last - first - 1
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    piece = np.repeat(np.arange(len(first)), counts)
    points = np.arange(len(piece)) - starts[piece] + first[piece] + 1
    along_x = (arcs.cols[last] - arcs.cols[first])[piece].astype(np.float64)
    along_y = (arcs.rows[last] - arcs.rows[first])[piece].astype(np.float64)
    x = (arcs.cols[points] - arcs.cols[first][piece]).astype(np.float64)
    y = (arcs.rows[points] - arcs.rows[first][piece]).astype(np.float64)
    length2 = along_x**2 + along_y**2
    share = np.clip((x * along_x + y * along_y) / np.where(length2 > 0, length2, 1.0), 0, 1)
    distance2 = (x - share * along_x) ** 2 + (y - share * along_y) ** 2
    most = np.maximum.reduceat(distance2, starts)
    candidates = np.flatnonzero(distance2 == most[piece])
    _, where, ties = np.unique(piece[candidates], return_index=True, return_counts=True)
    # the middle one of equals: from a comb one tooth after the other would be cut off
    return points[candidates[where + ties // 2]], most


def _hits_others(
    arcs: Arcs, first: NDArray[np.int64], last: NDArray[np.int64], tree: shapely.STRtree
) -> NDArray[np.bool_]:
    """Whether the convex hull of each piece has points that are not its own."""
    if not len(first):
        return np.zeros(0, dtype=bool)
    counts = last - first + 1
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    piece = np.repeat(np.arange(len(first)), counts)
    points = np.arange(len(piece)) - starts[piece] + first[piece]
    lines = shapely.linestrings(
        np.column_stack([arcs.cols[points], arcs.rows[points]]).astype(np.float64), indices=piece
    )
    found = tree.query(shapely.convex_hull(lines), predicate="intersects")[0]
    return np.asarray(np.bincount(found, minlength=len(first)) > counts)


def _closed(arcs: Arcs, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether pieces end where they begin."""
    same = (arcs.cols[first] == arcs.cols[last]) & (arcs.rows[first] == arcs.rows[last])
    return np.asarray(same)
