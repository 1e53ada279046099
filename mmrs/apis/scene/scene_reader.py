"""A scene read from the top down: each row once, kept while a line of windows needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.scene.scene_input import fill_gaps
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window


class SceneReader:
    """Pixels of windows in the order of a plan.

    Args:
        scene: Which of the scenes of a run it is.
        raster: The open scene; closed with the reader.
        contract: Of the model; gaps are filled as they were in its training.

    Memory: the rows of one line of windows, ``window_height * width * bands`` values.
    """

    def __init__(self, scene: int, raster: Raster, contract: ChannelContract) -> None:
        self.scene = scene
        self._raster = raster
        self._contract = contract
        self._top = self._end = 0  # the rows that are held
        self._pixels: NDArray[Any] | None = None
        self._valid: NDArray[np.bool_] | None = None

    def close(self) -> None:
        """Close the scene."""
        self._raster.close()

    def advance(self, window: Window) -> tuple[int, int, NDArray[np.bool_] | bool] | None:
        """Hold the rows of a window, of which none lies above those of an earlier window.

        Returns:
            What was read for it: the first row, how many, and which pixels hold data (one value
            where all or none do); None where all its rows were held.

        Raises:
            DataError: The scene is damaged there.
        """
        first = max(window.row, self._end)
        end = window.row + window.height
        if first >= end:
            self._drop_above(window.row)
            return None
        area = Window(first, 0, end - first, self._raster.width)
        pixels = self._raster.read(area)
        valid = self._raster.read_valid(area) if self._raster.has_invalid else None
        pixels = fill_gaps(pixels, valid, self._contract)
        self._drop_above(window.row)
        if self._pixels is None or first > self._end or not len(self._pixels):
            self._pixels, self._valid, self._top = pixels, valid, first
        else:
            self._pixels = np.concatenate([self._pixels, pixels])
            if valid is not None and self._valid is not None:
                self._valid = np.concatenate([self._valid, valid])
        self._end = end
        return first, end - first, _one_value_where_it_can_be(valid)

    def holds_data(self, window: Window) -> bool:
        """Whether any pixel of a window does; the window is one that was advanced to."""
        return self._valid is None or bool(self._valid[self._slices(window)].any())

    def pixels(self, window: Window) -> NDArray[Any]:
        """Pixels of such a window, (h, w, bands); a view that is right until the next advance."""
        if self._pixels is None:
            raise ValueError("advance to the window first")
        return self._pixels[self._slices(window)]

    def _slices(self, window: Window) -> tuple[slice, slice]:
        top = window.row - self._top
        return slice(top, top + window.height), slice(window.col, window.col + window.width)

    def _drop_above(self, row: int) -> None:
        if row > self._top and self._pixels is not None:
            self._pixels = self._pixels[row - self._top :]
            if self._valid is not None:
                self._valid = self._valid[row - self._top :]
            self._top = row


def _one_value_where_it_can_be(valid: NDArray[np.bool_] | None) -> NDArray[np.bool_] | bool:
    if valid is None or valid.all():
        return True
    return valid if valid.any() else False
