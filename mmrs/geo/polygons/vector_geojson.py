"""Polygons into GeoJSON, feature by feature, in longitude and latitude."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points
from shapely.errors import GEOSException

from mmrs.errors import OutputError
from mmrs.geo.disk_space import write_error
from mmrs.geo.polygons.lonlat_polygons import lonlat_polygons
from mmrs.geo.polygons.vector_writer import Columns, layer_name, unreadable


class GeoJsonWriter:
    """GeoJSON as RFC 7946 has it: longitude and latitude on WGS 84, whatever the CRS of the map.

    Args:
        path: Where to.
        target: What the file will be called, for messages and the name of the collection.
        crs: Of the coordinates.
        empty: The columns, with no rows.
        pixel_m: Side of the map's pixels in metres, where it is known.

    Raises:
        OutputError: The file cannot be made.
    """

    def __init__(
        self, path: Path, target: Path, crs: CRS, empty: Columns, *, pixel_m: float = 0.0
    ) -> None:
        self._pixel_m = pixel_m
        self._path, self._target, self._crs = path, target, crs
        self._checksum = self._size = self._features = 0
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise write_error(target, error) from error
        name = json.dumps(layer_name(target), ensure_ascii=False)
        self._put(f'{{"type": "FeatureCollection", "name": {name}, "features": [')

    def _put(self, text: str) -> None:
        data = text.encode()
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise write_error(self._target, error, needed=len(data)) from error

    def write(self, polygons: NDArray[Any], columns: Columns) -> None:
        """See ``FeatureWriter``."""
        texts = shapely.to_geojson(shapely.orient_polygons(self._to_lonlat(polygons)))
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        for text, row in zip(texts, rows, strict=True):
            properties = {
                name: None if value != value else value  # JSON has no NaN
                for name, value in zip(columns, row, strict=True)
            }
            told = json.dumps(properties, ensure_ascii=False)
            comma = "," if self._features else ""
            self._features += 1
            self._put(f'{comma}\n{{"type": "Feature", "properties": {told}, "geometry": {text}}}')

    def _to_lonlat(self, polygons: NDArray[Any]) -> NDArray[Any]:
        def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
            try:
                lon, lat = transform_points(
                    self._crs, CRS.from_epsg(4326), points[:, 0], points[:, 1]
                )[:2]
            except (RasterioError, CPLE_BaseError) as error:
                raise self._no_lonlat(str(error)) from error
            moved = np.column_stack([lon, lat])
            if not np.isfinite(moved).all():
                raise self._no_lonlat("part of the map lies off the Earth")
            return moved

        is_lonlat = self._crs.to_epsg() == 4326
        try:
            return np.asarray(
                lonlat_polygons(polygons, None if is_lonlat else move, pixel_m=self._pixel_m)
            )
        except GEOSException as error:
            raise self._no_lonlat(str(error)) from error

    def _no_lonlat(self, why: str) -> OutputError:
        return OutputError(
            f"its coordinates cannot be turned into longitude and latitude ({why})",
            where=self._target,
            fix="write a GeoPackage (.gpkg), which keeps the map's own CRS",
        )

    def close(self) -> None:
        """Close the collection and the file."""
        if self._file.closed:
            return
        try:
            with self._file:
                self._put("\n]}\n")
        except OSError as error:
            raise write_error(self._target, error) from error

    def abandon(self) -> None:
        """See ``FeatureWriter``."""
        with suppress(OSError):
            self._file.close()

    def read_back(self) -> None:
        """See ``FeatureWriter``."""
        found = size = 0
        try:
            with self._path.open("rb") as file:
                while data := file.read(1 << 20):
                    found, size = zlib.crc32(data, found), size + len(data)
        except OSError as error:
            raise unreadable(self._target, error) from error
        if (found, size) != (self._checksum, self._size):
            raise OutputError(
                "reads back other than it was written",
                where=self._target,
                fix="free space on the disk",
            )
