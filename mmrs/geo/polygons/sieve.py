"""Small regions of a class map given to their neighbours, as the map's rows come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.polygons.region_sums import area_of_runs
from mmrs.geo.polygons.row_strips import Rows, cut, stacked
from mmrs.geo.polygons.runs import find_runs, join, stretches

MIN_STRIP_ROWS, MAX_STRIP_ROWS = 64, 1024
MAX_STRIP_PX = 1 << 24  # of wide maps: two strips are held at about 12 bytes a pixel
_ROUNDING = 1e-9  # of sums of areas: a region of just the minimum is large


class Sieve:
    """Takes rows and gives them back, some strips later, without small regions.

    A region (pixels of a class that hang together by their sides) below the minimum area takes
    the class of the region of at least that area with which it shares the longest border; where
    all its neighbours are small too, they go first and it follows. A small region from which no
    large one can be reached so is dropped: its pixels become nodata. Nothing else changes.

    Two strips of rows are looked at together and the upper one is given out, so no more than two
    strips are kept, and the result does not depend on the pieces that the rows come in. A strip
    has as many rows as a small region can have at most; beyond 1024 rows, or 16 million pixels,
    the rule is cut short: a region that crosses a whole strip is large, whatever its area.

    Args:
        width: Columns.
        minimum: Area of a region that is not small: in pixels, or
        in_m2: in square metres.
        smallest_pixel_m2: Of the map's rows; sets how many rows a small region can have.
        merge: Whether small regions are given to a neighbour, else all are dropped.
        strip_rows: Rows of a strip; by default as above.
        nodata: The label of what has no class; it is no neighbour.

    Attributes:
        strip_rows: Rows of a strip.
        moved_regions: Small regions that took another class so far.
        moved_px: Their pixels.
        dropped_regions: Small regions that became nodata so far.
        dropped_px: Their pixels.

    Raises:
        ValueError: An area is not > 0, or a strip has no rows.
    """

    def __init__(
        self,
        width: int,
        minimum: float,
        *,
        in_m2: bool = False,
        smallest_pixel_m2: float = 1.0,
        merge: bool = True,
        strip_rows: int | None = None,
        nodata: int = NODATA_LABEL,
    ) -> None:
        if not (0 < minimum < math.inf and 0 < smallest_pixel_m2 < math.inf):
            raise ValueError(f"areas must be > 0, got {minimum} and {smallest_pixel_m2}")
        if strip_rows is None:
            pixels = minimum / smallest_pixel_m2 if in_m2 else minimum
            rows = math.ceil(min(pixels, MAX_STRIP_ROWS, MAX_STRIP_PX / width))
            strip_rows = max(MIN_STRIP_ROWS, rows)
        if strip_rows < 1:
            raise ValueError(f"strip_rows must be >= 1, got {strip_rows}")
        self.moved_regions = self.moved_px = self.dropped_regions = self.dropped_px = 0
        self._minimum = minimum
        self._in_m2 = in_m2
        self._merge = merge
        self.strip_rows = strip_rows
        self._nodata = nodata
        self._above = np.full((1, width), nodata, dtype=np.uint8)
        self._waiting: list[Rows] = []
        self._waiting_rows = 0

    def push(self, rows: Rows) -> list[Rows]:
        """Take rows; what is complete by now, from the top down.

        Raises:
            ValueError: The areas of pixels are missing.
        """
        if self._in_m2 and rows.pixel_m2 is None:
            raise ValueError("an area in m² needs pixel_m2 with the rows")
        done = []
        self._waiting.append(rows)
        self._waiting_rows += len(rows.labels)
        while self._waiting_rows >= 2 * self.strip_rows:
            both, rest = cut(stacked(self._waiting), 2 * self.strip_rows)
            self._sift(both, self.strip_rows)
            upper, lower = cut(both, self.strip_rows)
            self._waiting = [lower, rest]
            self._waiting_rows -= self.strip_rows
            done.append(upper)
        return done

    def finish(self) -> Rows | None:
        """The rows that are left, or None."""
        if not self._waiting_rows:
            return None
        rows = stacked(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        self._sift(rows, None)
        return rows

    def _sift(self, rows: Rows, final_rows: int | None) -> None:
        """Change the labels of small regions, in place.

        Args:
            rows: All that wait.
            final_rows: How many of them are given out now; None where no row follows.
        """
        stack = np.concatenate([self._above, rows.labels])
        runs = find_runs(stack)
        touching = stretches(runs.ids)
        label = runs.labels
        same = label[touching.above] == label[touching.below]
        root = join(len(label), touching.above[same], touching.below[same])
        total = len(label)
        row_of_run = runs.starts // stack.shape[1]
        pixels = area = np.where(row_of_run > 0, runs.lengths, 0)
        if self._in_m2 and rows.pixel_m2 is not None:
            given_out = np.zeros_like(rows.pixel_m2[:1])
            area = area_of_runs(runs, stack.shape[1], np.concatenate([given_out, rows.pixel_m2]))
        area = np.bincount(root, weights=area, minlength=total)

        some = np.arange(total) == root  # one run stands for each region
        some &= label != self._nodata
        last = np.zeros(total, dtype=bool)
        large = area >= self._minimum * (1 - _ROUNDING)
        large[root[row_of_run == 0]] = True  # given out in part
        given = np.zeros(total, dtype=bool)
        given[root[row_of_run <= (final_rows or len(rows.labels))]] = True
        if final_rows is not None:
            last[root[row_of_run == len(rows.labels)]] = True
            large |= last & given
        small = some & ~large & ~last
        large &= some
        target = np.where(large, np.arange(total), -1)
        if self._merge:
            one, other, sides = _borders(runs.ids, root, label, touching, self._nodata)
            # who touches a region whose size is not known yet, and can wait, waits
            unknown = last & ~large
            late = np.zeros(total, dtype=bool)
            late[one[unknown[other]]] = True
            grow(target, small & ~(late & ~given), one, other, sides)
        moved = small & (target >= 0)
        dropped = small & (target < 0) & given
        new = label.copy()
        new[moved] = label[target[moved]]
        new[dropped] = self._nodata
        # what joins a region of its own class by way of others changes nothing
        moved &= new != label
        self._count(moved, dropped, np.bincount(root, weights=pixels, minlength=total))
        rows.labels[:] = np.repeat(new[root], runs.lengths).reshape(stack.shape)[1:]
        if final_rows is not None:
            self._above = rows.labels[final_rows - 1 : final_rows].copy()

    def _count(
        self, moved: NDArray[np.bool_], dropped: NDArray[np.bool_], pixels: NDArray[Any]
    ) -> None:
        self.moved_regions += int(moved.sum())
        self.moved_px += int(pixels[moved].sum())
        self.dropped_regions += int(dropped.sum())
        self.dropped_px += int(pixels[dropped].sum())


def grow(
    target: NDArray[np.int64],
    small: NDArray[np.bool_],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    sides: NDArray[np.int64],
) -> None:
    """Give small regions to large ones, in place: neighbours first, then theirs.

    Args:
        target: Region that each region belongs to, -1 where that is open, (R,).
        small: Regions to give, (R,).
        one: Region on one hand of a border, (B,); each border is told from both hands.
        other: Region on the other hand.
        sides: Length of the border in sides of pixels.
    """
    wanted = small[one]
    one, other, sides = one[wanted], other[wanted], sides[wanted]
    order = np.argsort(other, kind="stable")
    one, other, sides = one[order], other[order], sides[order]
    first = np.searchsorted(other, np.arange(len(target) + 1))
    reached = np.flatnonzero(target >= 0)
    # only borders of what was reached last: of others each free region would have been reached
    while len(reached):
        counts = first[reached + 1] - first[reached]
        skipped = first[reached] - np.cumsum(counts) + counts
        border = np.repeat(skipped, counts) + np.arange(counts.sum())
        border = border[target[one[border]] < 0]
        pairs, place = np.unique(
            one[border] * len(target) + target[other[border]], return_inverse=True
        )
        lengths = np.bincount(place, weights=sides[border])
        region, owner = pairs // len(target), pairs % len(target)
        # the longest border first; of equal ones the region that begins higher up
        order = np.lexsort((owner, -lengths, region))
        reached, chosen = np.unique(region[order], return_index=True)
        target[reached] = owner[order][chosen]


def _borders(
    ids: NDArray[np.int32],
    root: NDArray[np.int64],
    label: NDArray[np.uint8],
    touching: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    nodata: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Regions on either hand of each piece of border, told from both hands, and its sides."""
    above, below, lengths = touching
    first_of_row = ids[:, 0]
    after = np.setdiff1d(np.arange(len(label)), first_of_row, assume_unique=True)
    one = root[np.concatenate([above, after - 1])]
    other = root[np.concatenate([below, after])]
    sides = np.concatenate([lengths, np.ones(len(after), dtype=np.int64)])
    real = (label[one] != nodata) & (label[other] != nodata) & (one != other)
    one, other, sides = one[real], other[real], sides[real]
    return (
        np.concatenate([one, other]),
        np.concatenate([other, one]),
        np.concatenate([sides, sides]),
    )
