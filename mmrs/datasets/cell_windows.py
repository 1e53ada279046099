"""Random windows of rasters, each near its own cell of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from mmrs.geo.windows import Window

Size = tuple[int, int]


class CellWindows:
    """A grid of cells over some rasters; a cell's window lies at random around it.

    Cells are as large as a window and cover each raster evenly (flush with its edges). A window
    begins at most half a window before or after its cell, so that over the visits every place of
    a raster is seen in every position. A cell is what counts as one image: its number is told to
    the algorithm, and an epoch visits each once.

    Args:
        shapes: Height and width of each raster; smaller ones than a window are padded.
        size: Of a window, pixels.
        areas: What counts of each raster, in pixels (x is the column); cells that do not meet it
            are left out. None: all of it.
        min_ratio: Rasters that fill less than this part of a window have no cells.

    Attributes:
        too_small: The rasters without cells, by their numbers.
    """

    def __init__(
        self,
        shapes: Sequence[Size],
        size: Size,
        *,
        areas: Sequence[Any] | None = None,
        min_ratio: float = 0.0,
    ) -> None:
        self.size = size
        self.shapes = list(shapes)
        self._grids = [
            tuple(max(1, -(-side // window)) for side, window in zip(shape, size, strict=True))
            for shape in shapes
        ]
        pixels = size[0] * size[1]
        self.too_small = [
            number
            for number, (height, width) in enumerate(shapes)
            if min(height, size[0]) * min(width, size[1]) < min_ratio * pixels
        ]
        small = {*self.too_small}
        self._kept: list[NDArray[np.int64]] | None = None
        counts = [0 if n in small else r * c for n, (r, c) in enumerate(self._grids)]
        if areas is not None:
            self._kept = [self._meeting(n, area) for n, area in enumerate(areas)]
            counts = [0 if n in small else len(kept) for n, kept in enumerate(self._kept)]
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> tuple[int, Window]:
        """Raster and cell, unmoved."""
        return self._place(index, np.zeros(2))

    def draw(self, index: int, rng: np.random.Generator) -> tuple[int, Window]:
        """Raster and window of a visit."""
        return self._place(index, rng.uniform(-0.5, 0.5, 2))

    def near(self, scene: int, window: Window, reach_px: int, rng: np.random.Generator) -> Window:
        """Another window of the raster, at most ``reach_px`` rows and columns away."""
        shift = rng.integers(-reach_px, reach_px + 1, 2)
        return self._inside(scene, window.row + int(shift[0]), window.col + int(shift[1]))

    def _meeting(self, scene: int, area: Any) -> NDArray[np.int64]:
        """Cells of a raster that an area covers in part."""
        rows, cols = self._grids[scene]
        tops = [self._around(scene, (row, 0), np.zeros(2)).row for row in range(rows)]
        lefts = [self._around(scene, (0, col), np.zeros(2)).col for col in range(cols)]
        left, top = (side.ravel() for side in np.meshgrid(lefts, tops))
        boxes = shapely.box(left, top, left + self.size[1], top + self.size[0])
        # touching with an edge is not enough
        return np.flatnonzero(shapely.area(shapely.intersection(area, boxes)) > 0)

    def _place(self, index: int, shift: np.ndarray) -> tuple[int, Window]:
        scene = int(np.searchsorted(self._ends, index, side="right"))
        number = index - (int(self._ends[scene - 1]) if scene else 0)
        if self._kept is not None:
            number = int(self._kept[scene][number])
        return scene, self._around(scene, divmod(number, self._grids[scene][1]), shift)

    def _around(self, scene: int, place: tuple[int, int], shift: np.ndarray) -> Window:
        starts = []
        for number, count, side, window, moved in zip(
            place, self._grids[scene], self.shapes[scene], self.size, shift, strict=True
        ):
            last = max(0, side - window)
            even = last * number / (count - 1) if count > 1 else last / 2
            starts.append(round(even + moved * window))
        return self._inside(scene, *starts)

    def _inside(self, scene: int, row: int, col: int) -> Window:
        height, width = self.shapes[scene]
        row = min(max(row, 0), max(0, height - self.size[0]))
        col = min(max(col, 0), max(0, width - self.size[1]))
        return Window(row, col, *self.size)
