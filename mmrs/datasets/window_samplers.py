"""Which windows of some rasters are looked at: all on a grid, random ones, or class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from mmrs.errors import DataError
from mmrs.geo.frequency_index import FrequencyIndex
from mmrs.geo.windows import Window, WindowPlan, plan_windows

Size = tuple[int, int]
_TRIES = 1000


class GridWindows:
    """All windows of a grid, raster after raster; the last of a line are flush with the edge.

    Args:
        shapes: Height and width of each raster.
        size: Of a window; a raster that is smaller is padded by the reader.
        stride: From one window to the next, at most ``size``; by default ``size``.
        areas: What counts of each raster, in pixels (x is the column); None for all of it.
            Windows that do not meet it are left out.
        count_once: Tell which part of each window is its own, so that no pixel counts twice
            where windows overlap: the seam runs in the middle of the overlap.
    """

    def __init__(
        self,
        shapes: Sequence[Size],
        size: Size,
        *,
        stride: Size | None = None,
        areas: Sequence[Any] | None = None,
        count_once: bool = False,
    ) -> None:
        self.size = size
        self.count_once = count_once
        self._plans: list[WindowPlan] = []
        # equal rasters share a plan: there may be thousands
        known: dict[Size, WindowPlan] = {}
        for shape in shapes:
            if shape not in known:
                known[shape] = plan_windows(*shape, size, stride or size)
            self._plans.append(known[shape])
        self._kept = None if areas is None else self._meeting(areas)
        counts = [len(plan) for plan in self._plans]
        if self._kept is not None:
            counts = [len(kept) for kept in self._kept]
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> tuple[int, Window]:
        """Raster and window of a sample."""
        scene, place = self._place(index)
        return scene, self._full(self._plans[scene][place])

    def own_part(self, index: int) -> tuple[slice, slice]:
        """Rows and columns of a window that no other window owns."""
        scene, place = self._place(index)
        plan = self._plans[scene]
        line, column = divmod(place, len(plan.col_starts))
        if not self.count_once:
            return slice(0, self.size[0]), slice(0, self.size[1])
        return (
            _own(plan.row_starts, line, plan.window_height, self.size[0]),
            _own(plan.col_starts, column, plan.window_width, self.size[1]),
        )

    def _place(self, index: int) -> tuple[int, int]:
        scene = int(np.searchsorted(self._ends, index, side="right"))
        place = index - (int(self._ends[scene - 1]) if scene else 0)
        return scene, place if self._kept is None else int(self._kept[scene][place])

    def _full(self, window: Window) -> Window:
        return Window(window.row, window.col, *self.size)

    def _meeting(self, areas: Sequence[Any]) -> list[NDArray[np.int64]]:
        kept = []
        for plan, area in zip(self._plans, areas, strict=True):
            cols, rows = np.meshgrid(plan.col_starts, plan.row_starts)
            boxes = shapely.box(
                cols, rows, cols + plan.window_width, rows + plan.window_height
            ).ravel()
            # touching with an edge is not enough
            met = shapely.area(shapely.intersection(area, boxes)) > 0
            kept.append(np.flatnonzero(met))
        return kept


class RandomWindows:
    """Windows at random places: rasters in proportion to their pixels, places all alike.

    Args:
        shapes: Height and width of each raster.
        size: Of a window.
        length: Windows of an epoch; by default as many as cover all pixels once.
        areas: What counts of each raster, in pixels; the middle of a window falls into it, as
            far as the raster's edges allow.
        seed: The same windows in every epoch; None draws new ones each time.
    """

    def __init__(
        self,
        shapes: Sequence[Size],
        size: Size,
        *,
        length: int | None = None,
        areas: Sequence[Any] | None = None,
        seed: int | None = None,
    ) -> None:
        self.shapes = list(shapes)
        self.size = size
        self.areas = areas
        self.seed = seed
        pixels = [float(height * width) for height, width in shapes]
        if areas is not None:
            pixels = [float(area.area) for area in areas]
        self._length = length or max(1, round(sum(pixels) / (size[0] * size[1])))
        self._steps = np.cumsum(pixels)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[int, Window]:
        """Raster and window of a sample."""
        rng = sample_generator(self.seed, index)
        lot = rng.uniform(0, self._steps[-1])
        scene = min(int(np.searchsorted(self._steps, lot, side="right")), len(self.shapes) - 1)
        if self.areas is None:
            rows, cols = (
                max(0, side - size)
                for side, size in zip(self.shapes[scene], self.size, strict=True)
            )
            row, col = int(rng.integers(rows + 1)), int(rng.integers(cols + 1))
            return scene, Window(row, col, *self.size)
        x, y = _point_in(self.areas[scene], rng)
        return scene, _around(self.shapes[scene], self.size, y, x)


class BalancedWindows:
    """Windows in which classes come about equally often, however rare they are.

    A class is drawn, then a window of the index in proportion to the class's pixels in it, then
    it is shifted at random by at most a quarter of its size.

    Args:
        shapes: Height and width of each raster.
        size: Of a window.
        index: Pixels of each class in windows of that size.
        length: Windows of an epoch; by default as many as the index has.
        seed: The same windows in every epoch; None draws new ones each time.

    Raises:
        DataError: No pixel has a class.
    """

    def __init__(
        self,
        shapes: Sequence[Size],
        size: Size,
        index: FrequencyIndex,
        *,
        length: int | None = None,
        seed: int | None = None,
    ) -> None:
        if not index.totals.any():
            raise DataError(
                "no labelled pixel at all, so classes cannot be balanced",
                fix="check the labels, their nodata value and the area",
            )
        self.shapes = list(shapes)
        self.size = size
        self.index = index
        self.seed = seed
        self._length = length or len(index.scenes)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[int, Window]:
        """Raster and window of a sample."""
        rng = sample_generator(self.seed, index)
        scene, window = self.index.draw(rng)
        row, col = (
            start + side / 2 + rng.uniform(-0.25, 0.25) * side
            for start, side in zip((window.row, window.col), self.size, strict=True)
        )
        return scene, _around(self.shapes[scene], self.size, row, col)


def sample_generator(seed: int | None, index: int) -> np.random.Generator:
    """Random numbers of one sample.

    Without a seed they come from NumPy's own state, which MMEngine seeds in every worker, and from
    PyTorch's seed of the worker: MMEngine's alone repeats in every epoch that starts new workers.
    """
    if seed is not None:
        return np.random.default_rng((seed, index))
    import torch.utils.data

    worker = torch.utils.data.get_worker_info()
    lots = np.random.randint(2**32, size=2, dtype=np.uint32).tolist()
    # the index, because processes without workers may all have one seed
    return np.random.default_rng((*lots, 0 if worker is None else worker.seed, index))


def _own(starts: Sequence[int], place: int, window: int, size: int) -> slice:
    start = starts[place]
    first = (starts[place - 1] + window + start) // 2 - start if place else 0
    last = size
    if place + 1 < len(starts):
        last = (start + window + starts[place + 1]) // 2 - start
    return slice(first, last)


def _around(shape: Size, size: Size, row: float, col: float) -> Window:
    """The window with its middle nearest to a place, inside the raster where that is possible."""
    starts = (
        int(np.clip(round(middle - side / 2), 0, max(0, whole - side)))
        for middle, side, whole in zip((row, col), size, shape, strict=True)
    )
    return Window(*starts, *size)


def _point_in(area: Any, rng: np.random.Generator) -> tuple[float, float]:
    low_x, low_y, high_x, high_y = area.bounds
    for _ in range(_TRIES):
        x, y = rng.uniform(low_x, high_x), rng.uniform(low_y, high_y)
        if shapely.contains_xy(area, x, y):
            return x, y
    point = area.representative_point()  # a sliver of its bounding box
    return point.x, point.y
