"""Polygons as labels: read from vector files, burnt into windows as they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_points

from mmrs.errors import DataError
from mmrs.geo.raster import to_coordinates, window_transform
from mmrs.geo.windows import Window

# Only what holds its own data: GDAL would also open a description that names other files.
SUFFIXES = (".gpkg", ".geojson", ".json", ".shp")
_HEADS = {".gpkg": b"SQLite format 3", ".shp": b"\x00\x00\x27\x0a"}
_DRIVERS = ("GPKG", "GeoJSON", "ESRI Shapefile")
NO_POLYGON = -1


class Polygons:
    """Polygons with a class each, in the order of the file: where two overlap, the later counts.

    Attributes:
        path: The file.
        geometries: Shapely's, (N,), as stored.
        ids: Class of each, (N,) int64.
        crs: Of the coordinates.
    """

    def __init__(
        self, path: str | Path, geometries: NDArray[Any], ids: NDArray[np.int64], crs: CRS
    ) -> None:
        self.path = Path(path)
        self.geometries = geometries
        self.ids = ids
        self.crs = crs
        self._tree = shapely.STRtree(geometries)

    def __getstate__(self) -> dict[str, Any]:
        # as WKB: smaller than Shapely's own pickles, and the tree is quick to make anew
        return {
            "path": self.path,
            "wkb": shapely.to_wkb(self.geometries),
            "ids": self.ids,
            "crs": self.crs.to_wkt(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        crs = CRS.from_wkt(state["crs"])
        self.__init__(  # type: ignore[misc]
            state["path"], shapely.from_wkb(state["wkb"]), state["ids"], crs
        )

    def to_crs(self, crs: CRS) -> Polygons:
        """The same polygons in other coordinates: every vertex is transformed."""
        if crs == self.crs:
            return self

        def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
            xs, ys = transform_points(self.crs, crs, points[:, 0], points[:, 1])
            return np.column_stack([xs, ys])

        return Polygons(self.path, shapely.transform(self.geometries, move), self.ids, crs)

    def burn(
        self, window: Window, transform: Affine, *, all_touched: bool = False
    ) -> NDArray[np.int64]:
        """Class ids of a window's pixels, (height, width); -1 in no polygon.

        Args:
            window: In pixels of the raster.
            transform: Of the raster, pixel -> coordinates of these polygons.
            all_touched: Every pixel that a polygon touches, else those whose centre it covers.
        """
        shape = (window.height, window.width)
        here = window_transform(transform, window)
        xs, ys = to_coordinates(
            here, np.array([0, shape[1], 0, shape[1]]), np.array([0, 0, shape[0], shape[0]])
        )
        found = np.sort(self._tree.query(shapely.box(xs.min(), ys.min(), xs.max(), ys.max())))
        burnt = np.full(shape, NO_POLYGON, dtype=np.int32)
        if len(found):
            rasterio.features.rasterize(
                [(self.geometries[i], int(self.ids[i])) for i in found],
                out=burnt,
                transform=here,
                all_touched=all_touched,
            )
        return burnt.astype(np.int64)


def read_polygons(
    path: str | Path,
    *,
    attribute: str | None = None,
    id_of: Mapping[Any, int] | None = None,
    layer: str | None = None,
) -> Polygons:
    """Read polygons and their classes.

    Args:
        path: GeoPackage, GeoJSON or Shapefile.
        attribute: Column with the class: a number, or a name that ``id_of`` maps. None: all
            polygons are of class 1.
        id_of: Value of the column -> class id; None where the column holds ids. A value that is
            not named is an error.
        layer: Of a GeoPackage with several; the first by default.

    Returns:
        The polygons; empty and missing geometries are left out.

    Raises:
        DataError: The file cannot be read, names no CRS or no such column, or holds lines,
            points or invalid shapes.
    """
    path = Path(path)
    _check_kind(path)
    try:
        meta, _, wkb, columns = pyogrio.raw.read(path, layer=layer, force_2d=True)
    except (DataSourceError, DataLayerError) as error:
        raise DataError(
            f"polygons cannot be read ({error})",
            where=path,
            fix="give a GeoPackage, GeoJSON or Shapefile",
        ) from error
    if not meta["crs"]:
        raise DataError(
            "polygons without a CRS cannot be placed on an image",
            where=path,
            fix="store the CRS with them (ogr2ogr -a_srs EPSG:...; the .prj of a Shapefile)",
        )
    try:
        crs = CRS.from_user_input(meta["crs"])
    except CRSError as error:
        raise DataError(f"its CRS is not understood ({error})", where=path) from error
    ids = _class_ids(path, meta["fields"], columns, attribute, id_of, len(wkb))
    geometries = shapely.from_wkb(wkb)
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    geometries, ids = geometries[there], ids[there]
    _check_polygons(path, geometries)
    return Polygons(path, geometries, ids, crs)


def area_mask(area: Polygons, window: Window, transform: Affine) -> NDArray[np.bool_]:
    """Which pixels of a window have their centre in an area, (height, width)."""
    return area.burn(window, transform) != NO_POLYGON


def _check_kind(path: Path) -> None:
    if not path.is_file():
        raise DataError("no such file", where=path, fix="name a GeoPackage, GeoJSON or Shapefile")
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    expected = _HEADS.get(suffix, b"{")
    if suffix not in SUFFIXES or not head.startswith(expected):
        raise DataError(
            "not a file of polygons that is opened here",
            where=path,
            fix="give a GeoPackage (.gpkg), GeoJSON (.geojson) or Shapefile (.shp)",
        )
    try:
        driver = pyogrio.read_info(path)["driver"]
    except (DataSourceError, DataLayerError) as error:
        raise DataError(
            f"polygons cannot be read ({error})", where=path, fix="fetch or write it again"
        ) from error
    if driver not in _DRIVERS:
        raise DataError(
            f"{driver} is not read as polygons", where=path, fix="convert it to a GeoPackage"
        )


def _class_ids(
    path: Path,
    fields: Sequence[str],
    columns: Sequence[NDArray[Any]],
    attribute: str | None,
    id_of: Mapping[Any, int] | None,
    count: int,
) -> NDArray[np.int64]:
    if attribute is None:
        return np.ones(count, dtype=np.int64)
    if attribute not in fields:
        raise DataError(
            f"polygons have no attribute {attribute!r}; there are {', '.join(fields) or 'none'}",
            where=path,
            fix="set attribute to the one that holds the class",
        )
    values = columns[list(fields).index(attribute)]
    if id_of is None:
        return _whole_numbers(path, attribute, values)
    # names of a config are strings where the column holds numbers, and the other way round
    by_text = {str(value): number for value, number in id_of.items()}
    texts = [_text(value) for value in values]
    unknown = sorted({text for text in texts if text not in by_text})
    if unknown:
        raise DataError(
            f"attribute {attribute!r} holds {len(unknown)} values without a class, such as "
            f"{', '.join(map(repr, unknown[:5]))}",
            where=path,
            fix="name each of them in class_of, 255 for what does not count",
        )
    return np.array([by_text[text] for text in texts], dtype=np.int64)


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _whole_numbers(path: Path, attribute: str, values: NDArray[Any]) -> NDArray[np.int64]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(len(values), np.nan)
    wrong = np.flatnonzero(numbers != np.round(numbers))
    if len(wrong):
        raise DataError(
            f"attribute {attribute!r} holds {values[wrong[0]]!r}, which is no class id",
            where=path,
            fix="map its values: class_of=dict(forest=0, water=1, ...)",
        )
    return numbers.astype(np.int64)


def _check_polygons(path: Path, geometries: NDArray[Any]) -> None:
    kinds = shapely.get_type_id(geometries)
    others = np.flatnonzero(~np.isin(kinds, (3, 6)))
    if len(others):
        name = geometries[others[0]].geom_type
        raise DataError(
            f"{len(others)} of {len(geometries)} shapes are no polygons, the first is a {name} "
            f"(feature {others[0]})",
            where=path,
            fix="buffer lines and points into polygons, or leave them out",
        )
    wild = np.flatnonzero(~np.isfinite(shapely.bounds(geometries)).all(axis=1))
    if len(wild):
        raise DataError(
            f"feature {wild[0]} has coordinates that are not finite", where=path, fix="mend it"
        )
