"""Random windows of rasters, each near its own cell of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    """

    def __init__(self, shapes: Sequence[Size], size: Size) -> None:
        self.size = size
        self.shapes = list(shapes)
        self._grids = [
            tuple(max(1, -(-side // window)) for side, window in zip(shape, size, strict=True))
            for shape in shapes
        ]
        self._ends = np.cumsum([rows * cols for rows, cols in self._grids])

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

    def _place(self, index: int, shift: np.ndarray) -> tuple[int, Window]:
        scene = int(np.searchsorted(self._ends, index, side="right"))
        first = int(self._ends[scene - 1]) if scene else 0
        place = divmod(index - first, self._grids[scene][1])
        starts = []
        for number, count, side, window, moved in zip(
            place, self._grids[scene], self.shapes[scene], self.size, shift, strict=True
        ):
            last = max(0, side - window)
            even = last * number / (count - 1) if count > 1 else last / 2
            starts.append(round(even + moved * window))
        return scene, self._inside(scene, *starts)

    def _inside(self, scene: int, row: int, col: int) -> Window:
        height, width = self.shapes[scene]
        row = min(max(row, 0), max(0, height - self.size[0]))
        col = min(max(col, 0), max(0, width - self.size[1]))
        return Window(row, col, *self.size)
