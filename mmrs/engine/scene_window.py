"""Which window of which scene a sample is, told by its metas or by its file's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mmrs.errors import DataError

# area1_0_512_512_1024: columns before rows, as MMSegmentation's converters name tiles
_TILE = re.compile(r"(?P<scene>.+)_(?P<x0>\d+)_(?P<y0>\d+)_(?P<x1>\d+)_(?P<y1>\d+)")


@dataclass(frozen=True)
class SceneWindow:
    """Which window of which scene a sample is.

    Attributes:
        scene: The scene's name, one for all its windows.
        row: First row in the scene.
        col: First column in the scene.
    """

    scene: str
    row: int
    col: int


def scene_window(sample: Mapping[str, Any], shape: tuple[int, int]) -> SceneWindow:
    """Say which window of which scene a sample is, from its metas or its file's name.

    Args:
        sample: Of a metric. ``window`` (row, col, height, width) with ``scene``, or ``img_path``
            where that is left out; else ``img_path`` names a tile, ``area1_x0_y0_x1_y1``.
        shape: (rows, columns) of its label.

    Raises:
        DataError: Neither is there, or the window has another size than the label.
    """
    path = sample.get("img_path")
    window = sample.get("window")
    if window is not None:
        row, col, height, width = (int(value) for value in window)
        found = SceneWindow(str(sample.get("scene") or path), row, col)
    else:
        match = None if path is None else _TILE.fullmatch(PurePath(path).stem)
        if match is None:
            raise DataError(
                "the name does not say which window of which scene it is",
                where=path,
                fix="name tiles area1_x0_y0_x1_y1, or leave stitch out",
            )
        x0, y0, x1, y1 = (int(match[key]) for key in ("x0", "y0", "x1", "y1"))
        height, width = y1 - y0, x1 - x0
        found = SceneWindow(str(PurePath(path).with_name(match["scene"])), y0, x0)
    # a window may reach over the scene's lower and right edges, and be cut there
    if shape[0] > height or shape[1] > width:
        raise DataError(
            f"its window is {height} x {width} px, but its label {shape[0]} x {shape[1]}",
            where=path,
            fix="stitch needs labels of the size of the window: no Resize after LoadAnnotations",
        )
    return found
