"""Polygons and their classes, from the vector files that may be opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from mmrs.errors import DataError
from mmrs.geo.rasterize import Polygons

# Only what holds its own data: GDAL would also open a description that names other files.
SUFFIXES = (".gpkg", ".geojson", ".json", ".shp")
_HEADS = {".gpkg": b"SQLite format 3", ".shp": b"\x00\x00\x27\x0a"}
_DRIVERS = ("GPKG", "GeoJSON", "ESRI Shapefile")
_MAX_ID = 2**31 - 1  # they are burnt as 32 bits


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
    _check_degrees(path, geometries, crs)
    return Polygons(path, geometries, ids, crs)


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
    by_text = {attribute_text(value): number for value, number in id_of.items()}
    texts = [attribute_text(value) for value in values]
    unknown = sorted({text for text in texts if text not in by_text})
    if unknown:
        raise DataError(
            f"attribute {attribute!r} holds {len(unknown)} values without a class, such as "
            f"{', '.join(map(repr, unknown[:5]))}",
            where=path,
            fix="name each of them in class_of, 255 for what does not count",
        )
    return np.array([by_text[text] for text in texts], dtype=np.int64)


def attribute_text(value: Any) -> str:
    """A value of a column as it is named: 3 for 3.0."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _whole_numbers(path: Path, attribute: str, values: NDArray[Any]) -> NDArray[np.int64]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(len(values), np.nan)
    # below 0 they would pass for no polygon
    within = (numbers >= 0) & (numbers <= _MAX_ID)
    wrong = np.flatnonzero(~(within & (numbers == np.round(numbers))))
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


def _check_degrees(path: Path, geometries: NDArray[Any], crs: CRS) -> None:
    """Refuse metres that are called degrees: a GeoJSON that names no CRS counts as EPSG:4326."""
    if not crs.is_geographic or not len(geometries):
        return
    west, south, east, north = shapely.total_bounds(geometries)
    if max(-west, east) > 540 or max(-south, north) > 90.001:
        raise DataError(
            f"coordinates from ({west:.9g}, {south:.9g}) to ({east:.9g}, {north:.9g}) are no "
            f"degrees, but its CRS is {crs.to_string()[:40]} (as of every GeoJSON that names none)",
            where=path,
            fix="store the right CRS with them (ogr2ogr -a_srs EPSG:... to a GeoPackage)",
        )
