"""Numbers that are added up over the pixels of regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.polygons.runs import Runs


@dataclass(frozen=True)
class RegionSums:
    """What is added up over the pixels of regions, one number for each region."""

    pixels: NDArray[np.float64]  # whole numbers, exact below 2**53
    square_metres: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @classmethod
    def nothing(cls) -> RegionSums:
        """Of no region."""
        return cls(np.empty(0), np.empty(0), np.empty(0))

    def grouped(self, groups: NDArray[np.int64], count: int) -> RegionSums:
        """Added up over groups 0 to ``count`` - 1."""

        def add(values: NDArray[np.float64]) -> NDArray[Any]:
            return np.bincount(groups, weights=values, minlength=count)

        return RegionSums(add(self.pixels), add(self.square_metres), add(self.confidence))

    def chosen(self, which: NDArray[Any]) -> RegionSums:
        """Of these regions only."""
        return RegionSums(self.pixels[which], self.square_metres[which], self.confidence[which])

    def before(self, other: RegionSums) -> RegionSums:
        """Of these regions, and then of the other ones."""
        return RegionSums(
            np.concatenate([self.pixels, other.pixels]),
            np.concatenate([self.square_metres, other.square_metres]),
            np.concatenate([self.confidence, other.confidence]),
        )


def sums_of_runs(
    runs: Runs,
    shape: tuple[int, ...],
    confidence: NDArray[np.floating] | None,
    row_area_m2: NDArray[np.float64] | None,
) -> RegionSums:
    """Of the runs in some rows.

    Args:
        runs: Found in them.
        shape: Of the rows, (n, W).
        confidence: (n, W), or None.
        row_area_m2: As ``area_of_runs`` takes it, or None.
    """
    pixels = runs.lengths.astype(np.float64)
    square_metres = total = np.zeros(len(pixels))
    if row_area_m2 is not None:
        square_metres = area_of_runs(runs, shape[1], row_area_m2)
    if confidence is not None:
        total = np.add.reduceat(confidence.reshape(-1), runs.starts, dtype=np.float64)
    return RegionSums(pixels, square_metres, total)


def area_of_runs(runs: Runs, width: int, row_area_m2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of each run, (R,).

    Args:
        runs: Found in n rows.
        width: Columns.
        row_area_m2: Of a pixel of each row, (n,), or in each of equal pieces of it, (n, pieces).
    """
    row = runs.starts // width
    if row_area_m2.ndim == 1:
        return np.asarray(runs.lengths * row_area_m2[row])
    pieces = row_area_m2.shape[1]
    of_piece = row_area_m2 * (width / pieces)
    to_left = np.cumsum(of_piece, axis=1) - of_piece

    def left_of(col: NDArray[np.int64]) -> NDArray[np.float64]:
        place = col * (pieces / width)
        piece = np.minimum(place.astype(np.int64), pieces - 1)
        return np.asarray(to_left[row, piece] + (place - piece) * of_piece[row, piece])

    begin = runs.starts % width
    return left_of(begin + runs.lengths) - left_of(begin)
