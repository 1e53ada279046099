"""Areas of interest: from coordinates to the pixels of each raster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from mmrs.errors import DataError
from mmrs.geo.polygon_file import read_polygons
from mmrs.geo.raster import to_coordinates
from mmrs.geo.rasterize import Polygons
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window


def areas_in_pixels(
    area: str | Sequence[float],
    data_root: str | None,
    reader: WindowReader,
    infos: Sequence[Mapping[str, Any]],
) -> list[Any]:
    """The part of each raster that an area covers, (x, y) = (column, row); empty where none.

    Args:
        area: A file of polygons, or (left, bottom, right, top) in coordinates of the rasters, in
            pixels where they have none.
        data_root: What a relative path is relative to.
        reader: Opens the rasters.
        infos: With the ``img_path`` of each.

    Raises:
        DataError: No raster meets it, or one has no CRS to place polygons by.
    """
    polygons = None
    if isinstance(area, str):
        polygons = read_polygons(Path(data_root or "", area))
    areas = [_in_pixels(area, polygons, reader, info["img_path"]) for info in infos]
    if not any(each.area > 0 for each in areas):
        raise DataError(
            f"no image meets the area ({len(areas)} looked at)",
            where="RasterSegDataset.area",
            fix="check the area's coordinates and CRS",
        )
    return areas


def covered(area: Any, window: Window) -> NDArray[np.bool_]:
    """Which pixels of a window have their centre in an area of pixels, (height, width)."""
    box = shapely.box(window.col, window.row, window.col + window.width, window.row + window.height)
    if shapely.covers(area, box):
        return np.ones((window.height, window.width), dtype=bool)
    cols = window.col + 0.5 + np.arange(window.width)
    rows = window.row + 0.5 + np.arange(window.height)
    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, *np.meshgrid(cols, rows)))


def _in_pixels(area: Any, polygons: Polygons | None, reader: WindowReader, path: str) -> Any:
    raster = reader.raster(path)
    to_pixel = ~(raster.georeference.transform or Affine.identity())
    if polygons is None:
        shape = shapely.box(*area)
    else:
        if raster.georeference.crs is None:
            raise DataError(
                "it has no CRS, so the area cannot be placed on it",
                where=path,
                fix="give it one (gdal_edit.py -a_srs), or give the area as four pixel numbers",
            )
        # part by part: parts that overlap would leave a hole
        parts = shapely.get_parts(polygons.near(raster).geometries)
        shape = shapely.union_all(shapely.make_valid(parts))
    shape = shapely.transform(
        shape, lambda points: np.column_stack(to_coordinates(to_pixel, points[:, 0], points[:, 1]))
    )
    return shapely.intersection(shape, shapely.box(0, 0, raster.width, raster.height))
