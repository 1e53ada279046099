"""Counts of class maps and labels, block by block: the memory does not grow with the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.score.scene_labels import NO_LABEL, SceneLabels
from mmrs.engine.boundary import NUM_COUNTS, boundary_counts, halo_px
from mmrs.engine.confusion import confusion_matrix
from mmrs.errors import DataError
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window
from mmrs.label_check import find_invalid_label

MAX_BLOCK_WIDTH = 8192
BLOCK_PIXELS = 2**22

Progress = Callable[[int, int], None]  # blocks done, blocks in all


class SceneCounts:
    """Sums over scenes.

    Args:
        num_classes: Number of classes.

    Attributes:
        matrix: (C, C) int64, rows are truth.
        boundary: (7, C) int64, see `mmrs.engine.boundary.boundary_counts`.
        ignored: Pixels without a label.
        unpredicted: Pixels with a label and without a prediction; in no other count.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
        self.boundary = np.zeros((NUM_COUNTS, num_classes), dtype=np.int64)
        self.ignored = 0
        self.unpredicted = 0

    def add(
        self, raster: Raster, labels: SceneLabels, width: float | None, progress: Progress | None
    ) -> None:
        """Count a scene, block by block; boundaries see a halo around each.

        Args:
            raster: The class map.
            labels: Its labels.
            width: Of the boundaries in pixels, or None.
            progress: Called after every block.

        Raises:
            DataError: A file is damaged, or the map holds an id that is no class.
            LabelError: A label is no class and not ignored.
        """
        halo = 0 if width is None else halo_px(width)
        blocks = list(_blocks(raster.height, raster.width))
        for done, core in enumerate(blocks):
            around, inside = _with_halo(core, halo, raster.height, raster.width)
            label = labels.read(around)
            prediction, missing = _read_map(raster, around, self.num_classes)
            counted = label[inside] != NO_LABEL
            self.ignored += int(counted.size - counted.sum())
            self.unpredicted += int((counted & missing[inside]).sum())
            label[missing] = NO_LABEL
            self.matrix += confusion_matrix(
                np.ascontiguousarray(prediction[inside]),
                np.ascontiguousarray(label[inside]),
                num_classes=self.num_classes,
                ignore_index=NO_LABEL,
            )
            if width is not None:
                self.boundary += boundary_counts(
                    prediction,
                    label,
                    num_classes=self.num_classes,
                    width_px=width,
                    ignore_index=NO_LABEL,
                    core=inside,
                )
            if progress is not None:
                progress(done + 1, len(blocks))


def _read_map(
    raster: Raster, window: Window, num_classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Class ids of a window, 0 where there is no prediction, and where that is."""
    ids = raster.read(window)[..., 0]
    missing = ~raster.read_valid(window) | (ids == NODATA_LABEL)
    ids = np.where(missing, 0, ids)
    wrong = find_invalid_label(ids, num_classes=num_classes, ignore_index=-1)
    if wrong is not None:
        value, row, col = wrong
        raise DataError(
            f"class {value} at (row {window.row + row}, col {window.col + col}), but there are "
            f"{num_classes} classes (0-{num_classes - 1})",
            where=raster.path,
            fix="name all classes with --classes",
        )
    return ids.astype(np.uint8), missing


def _blocks(height: int, width: int) -> Iterator[Window]:
    block_width = min(width, MAX_BLOCK_WIDTH)
    block_height = max(1, BLOCK_PIXELS // block_width)
    for row in range(0, height, block_height):
        for col in range(0, width, block_width):
            yield Window(row, col, min(block_height, height - row), min(block_width, width - col))


def _with_halo(
    core: Window, halo: int, height: int, width: int
) -> tuple[Window, tuple[slice, slice]]:
    """A block with what lies around it in the scene, and where in that the block is."""
    top, left = max(0, core.row - halo), max(0, core.col - halo)
    bottom = min(height, core.row + core.height + halo)
    right = min(width, core.col + core.width + halo)
    inside = Window(core.row - top, core.col - left, core.height, core.width)
    return Window(top, left, bottom - top, right - left), inside.slices
