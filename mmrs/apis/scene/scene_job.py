"""One scene on its way: windows' scores in, finished rows out, on the scene's own grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.scene.scene_band import Band
from mmrs.apis.scene.scene_stream import Place, ValidRows
from mmrs.errors import DataError
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.raster import Raster
from mmrs.geo.resampled import BackToGrid
from mmrs.geo.rows.scene_rows import SceneRows
from mmrs.geo.windows import Window


class SceneJob:
    """Blends a scene's windows and hands on the rows that are wanted, nodata taken out.

    Args:
        rows: The wanted rows of the grid that is predicted on.
        band: Blends the windows.
        take: Where finished rows go, from the top down.
        to_grid: Where the scene is predicted at another pixel size: the way back to its own grid.
        source: The scene on its own grid, with ``to_grid``.
        name: What messages call the scene.

    Raises:
        DataError: Of all methods: scores are not numbers where there is data.
    """

    def __init__(
        self,
        rows: range,
        band: Band,
        take: Callable[[SceneRows], None],
        *,
        to_grid: BackToGrid | None = None,
        source: Raster | None = None,
        name: str | Path | None = None,
    ) -> None:
        self._rows = rows
        self._band = band
        self._take = take
        self._to_grid = to_grid
        self._source = source
        self._name = name
        self._source_row = 0 if to_grid is None else to_grid.first_row
        self._valid = ValidQueue()
        self._row: int | None = None  # the next one that the band hands out

    def add_valid(self, rows: ValidRows) -> None:
        """Which pixels of rows hold data; comes before the windows that end in them."""
        if self._to_grid is None:
            self._valid.push(rows)

    def add(self, place: Place, scores: Any) -> None:
        """Add a window that is needed."""
        row = place.window.row
        # above lies what is not wanted; between them, windows without data
        self._begin_at(min(row, self._rows.start))
        if row > self._band.top:
            self._pop(row)
        self._band.add(place.window, scores)

    def finish(self) -> None:
        """Hand on the rows that are left."""
        self._begin_at(self._rows.start)
        while self._row != self._rows.stop:
            self._pop(self._rows.stop)  # more than once where a band hands out late

    def _begin_at(self, row: int) -> None:
        if self._row is None:
            self._band.top = self._row = row

    def _pop(self, until: int) -> None:
        for rows in self._band.pop_until(max(self._band.top, min(until, self._rows.stop))):
            row, self._row = self._row or 0, (self._row or 0) + len(rows)
            first = max(row, self._rows.start)
            if first < self._row:
                self._hand_on(rows.part(first - row, len(rows)), first)

    def _hand_on(self, rows: SceneRows, row: int) -> None:
        if self._to_grid is None:
            unknown = rows.labels == NODATA_LABEL
            for invalid, first, last in self._valid.pop(row, row + len(rows)):
                rows.part(first - row, last - row).clear(invalid)
                unknown[first - row : last - row] &= ~invalid
            self._check_known(unknown, row)
            self._take(rows)
            return
        inside = self._to_grid.rows_within(len(rows))
        if not len(inside) or self._source is None:
            return  # several rows of the prediction lie in one of the scene
        rows = rows.take(inside, self._to_grid.col_of)
        here = Window(self._source_row, 0, len(rows), self._source.width)
        valid = self._source.read_valid(here)
        self._check_known(valid & (rows.labels == NODATA_LABEL), here.row)
        rows.clear(~valid)
        self._source_row += len(rows)
        self._take(rows)

    def _check_known(self, unknown: NDArray[np.bool_], row: int) -> None:
        """Raise where pixels with data got no class; ``row`` is the first row of them."""
        if not unknown.any():
            return
        first, col = np.unravel_index(int(unknown.argmax()), unknown.shape)
        raise DataError(
            f"the model's scores at (row {row + int(first)}, col {int(col)}) are not numbers",
            where=self._name,
            fix="leave half precision (--amp) out; else look at the weights, and at the image's "
            "values there (a nodata value that is not declared?)",
        )


class ValidQueue:
    """Which pixels hold data, of rows that were read and not yet handed on."""

    def __init__(self) -> None:
        self._held: deque[ValidRows] = deque()

    def push(self, rows: ValidRows) -> None:
        """Append rows; they follow the last ones."""
        self._held.append(rows)

    def pop(self, first: int, last: int) -> list[tuple[NDArray[np.bool_], int, int]]:
        """Take out rows ``first`` to ``last`` (excluded), and forget those above.

        Returns:
            For each stretch of them with gaps: which pixels hold none, (n, W) or one for all,
            its first row and one past its last.
        """
        found = []
        for held in self._held:
            start, stop = max(first, held.row), min(last, held.row + held.count)
            if start >= stop or held.valid is True:
                continue
            if held.valid is False:
                invalid = np.ones((1, 1), dtype=bool)
            else:
                invalid = ~np.asarray(held.valid)[start - held.row : stop - held.row]
            found.append((invalid, start, stop))
        while self._held and self._held[0].row + self._held[0].count <= last:
            self._held.popleft()
        return found
