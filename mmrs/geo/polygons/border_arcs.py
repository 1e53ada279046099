"""Borders of a class map as lines between the places where more than two regions meet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from mmrs.geo.polygons.vectorize import PolygonStream


class Arcs(NamedTuple):
    """Lines, one after the other.

    Attributes:
        cols: Of their points, (V,) int64.
        rows: Likewise.
        first: Index of the first point of each line, (A,).
        last: Of the last one, (A,); of a ring that meets nothing, the same place as the first.
    """

    cols: NDArray[np.int64]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def border_arcs(labels: NDArray[np.uint8], fixed: NDArray[np.bool_], *, outside: int) -> Arcs:
    """The borders in some rows, each once, whichever of its two regions it is seen from.

    Args:
        labels: (n, W).
        fixed: Places where lines end, (n + 1, W + 1); those where more than two regions meet
            must be among them.
        outside: A label that is in no region.

    Returns:
        Lines from one fixed place to the next, with the corners between them; lines that have
        ``outside`` on one hand may be left out, unless they are straight.
    """
    stream = PolygonStream(labels.shape[1], nodata=outside, junctions=True)
    polygons = np.concatenate([stream.push(labels).polygons, stream.finish().polygons])
    rings = shapely.get_rings(polygons)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    open_end = np.ones(len(points), dtype=bool)
    open_end[np.flatnonzero(np.diff(ring, append=-1))] = False  # the point that closes a ring
    cols, rows = points[open_end].astype(np.int64).T
    ring = ring[open_end]
    place = rows * (labels.shape[1] + 1) + cols
    is_end = fixed[rows, cols]
    _fix_one_in_each_ring(is_end, place, ring)
    index, first, last = _between_ends(is_end, ring)
    # seen from the other hand a line runs the other way: one of the two is taken
    ahead = place[index[first]], place[index[first + 1]]
    behind = place[index[last]], place[index[last - 1]]
    straight = last == first + 1
    chosen = (ahead[0] < behind[0]) | ((ahead[0] == behind[0]) & (ahead[1] < behind[1])) | straight
    return Arcs(cols[index], rows[index], first[chosen], last[chosen])


def _fix_one_in_each_ring(
    is_end: NDArray[np.bool_], place: NDArray[np.int64], ring: NDArray[np.int64]
) -> None:
    """Where a ring meets nothing, its first place in reading order is an end."""
    count = int(ring[-1]) + 1 if len(ring) else 0
    without = np.bincount(ring, weights=is_end, minlength=count) == 0
    loose = np.flatnonzero(without[ring])
    order = loose[np.lexsort((place[loose], ring[loose]))]
    _, first = np.unique(ring[order], return_index=True)
    is_end[order[first]] = True


def _between_ends(
    is_end: NDArray[np.bool_], ring: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Points of the lines between ends, and where in them each line begins and ends."""
    ends = np.flatnonzero(is_end)
    ring_start = np.flatnonzero(np.diff(ring, prepend=-1))
    ring_size = np.diff(ring_start, append=len(ring))
    own = ring[ends]
    following = np.append(ends[1:], 0)
    is_last = np.append(own[1:] != own[:-1], True) if len(ends) else np.zeros(0, dtype=bool)
    first_end = ends[np.flatnonzero(np.diff(own, prepend=-1))]
    steps = np.where(is_last, first_end[own] + ring_size[own] - ends, following - ends)
    first = np.concatenate([[0], np.cumsum(steps + 1)[:-1]]).astype(np.int64)
    arc = np.repeat(np.arange(len(ends)), steps + 1)
    along = np.arange(len(arc)) - first[arc] + (ends - ring_start[own])[arc]
    index = ring_start[own][arc] + along % ring_size[own][arc]
    return index, first[: len(ends)], first[: len(ends)] + steps
