from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from rasterio.crs import CRS

from mmrs.errors import OutputError
from mmrs.geo.vector_geopackage import GeoPackageWriter
from tests.geo.vector_features import batch_of

EMPTY = {"class_id": np.empty(0, dtype=np.int32), "class": np.empty(0, dtype=object)}


def columns(count: int) -> dict[str, np.ndarray]:
    return {
        "class_id": np.arange(count, dtype=np.int32),
        "class": np.array([f"é {i}" for i in range(count)], dtype=object),
    }


def written(path: Path, crs: CRS | None) -> GeoPackageWriter:
    polygons = batch_of().polygons
    writer = GeoPackageWriter(path, path, crs, EMPTY)
    writer.write(polygons[:3], columns(3))
    writer.write(polygons[3:], columns(len(polygons) - 3))
    writer.close()
    return writer


@pytest.mark.parametrize("crs", [None, CRS.from_epsg(32632), CRS.from_epsg(4326)])
def test_crs_layer_and_spatial_index_are_there(tmp_path: Path, crs: CRS | None) -> None:
    path = tmp_path / "é map 1.gpkg"
    written(path, crs).read_back()
    info = pyogrio.read_info(path)
    assert info["layer_name"] == "é map 1" and info["geometry_type"] == "Polygon"
    assert info["crs"] == (None if crs is None else f"EPSG:{crs.to_epsg()}")
    assert info["capabilities"]["fast_spatial_filter"]
    polygons = batch_of().polygons
    bounds = polygons[2].bounds
    _, _, found, _ = pyogrio.raw.read(path, bbox=bounds)
    meeting = [p for p in polygons if p.intersects(polygons[2].envelope)]
    assert len(found) == len(meeting) < len(polygons)


@pytest.mark.parametrize("name", ["a\"b'c", "x?y#z%20", "gpkg_a", "select", "(1)", "-v", "1", ".a"])
def test_any_name_of_a_file_will_do(tmp_path: Path, name: str) -> None:
    written(tmp_path / f"{name}.gpkg", None).read_back()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM map WHERE fid = 2", "of .* polygons"),
        ("UPDATE map SET class = 'x' WHERE fid = 2", "other values of class"),
        ("UPDATE map SET geom = (SELECT geom FROM map WHERE fid = 1) WHERE fid = 2", "of geom"),
        ("DELETE FROM rtree_map_geom WHERE id = 2", "its spatial index holds"),
    ],
)
def test_a_table_that_is_not_what_was_written_is_found(tmp_path, statement, message) -> None:
    path = tmp_path / "map.gpkg"
    writer = written(path, None)
    with closing(sqlite3.connect(path)) as db:
        triggers = db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:  # they call functions that only GDAL has
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute(statement)
        db.commit()
    with pytest.raises(OutputError, match=message):
        writer.read_back()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"map\.gpkg: cannot be written"):
        GeoPackageWriter(tmp_path / "none" / "map.gpkg", Path("map.gpkg"), None, EMPTY)
