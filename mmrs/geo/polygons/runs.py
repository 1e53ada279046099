"""Runs of equal labels along the rows of a class map, and which of them hang together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Runs(NamedTuple):
    """Runs of equal labels in rows, from left to right and from the top down.

    Attributes:
        starts: Index of the first pixel of each in the flattened rows, (R,) int64.
        lengths: Pixels of each, (R,) int64.
        labels: Label of each, (R,) uint8.
        ids: Run of every pixel, (n, W) int32.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: NDArray[np.uint8]
    ids: NDArray[np.int32]


def find_runs(labels: NDArray[np.uint8]) -> Runs:
    """Cut rows into runs of equal labels; no run goes on into the next row.

    Args:
        labels: (n, W), neither of them 0.
    """
    begins = np.ones(labels.shape, dtype=bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=labels.size)
    ids = np.repeat(np.arange(len(starts), dtype=np.int32), lengths).reshape(labels.shape)
    return Runs(starts, lengths, labels.reshape(-1)[starts], ids)


class Stretches(NamedTuple):
    """Sides between rows, cut where the run above or the run below changes.

    Attributes:
        above: Id of the run above, (S,).
        below: Id of the run below, (S,).
        lengths: Sides of pixels, (S,) int64.
    """

    above: NDArray[np.int32]
    below: NDArray[np.int32]
    lengths: NDArray[np.int64]


def stretches(ids: NDArray[np.int32]) -> Stretches:
    """What lies above what, for rows of at least one pixel.

    Args:
        ids: Run of every pixel, (n + 1, W).
    """
    begins = np.ones(ids.shape, dtype=bool)
    np.not_equal(ids[:, 1:], ids[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins[:-1] | begins[1:])
    lengths = np.diff(starts, append=ids.size - ids.shape[1])
    return Stretches(ids[:-1].reshape(-1)[starts], ids[1:].reshape(-1)[starts], lengths)


def join(count: int, first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.int64]:
    """Lowest number of the group that each of ``count`` things belongs to.

    Args:
        count: Things, numbered from 0.
        first: One end of each tie, (P,).
        second: The other end.

    Returns:
        (count,): equal for those that ties connect, over any number of steps.

    Source: hooking and pointer jumping after Shiloach and Vishkin, "An O(log n) parallel
    connectivity algorithm", 1982.
    """
    parent = np.arange(count, dtype=np.int64)
    while len(first):
        one, other = parent[first], parent[second]
        apart = one != other
        first, second, one, other = first[apart], second[apart], one[apart], other[apart]
        # both are roots: the higher hangs on the lower, so no circle can arise; on the lowest
        # of all, for the last one of many would be hung on the next one, again and again
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while True:
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above
    return parent
