from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from rasterio.crs import CRS

from mmrs.errors import OutputError
from mmrs.geo.polygons.vector_geopackage import GeoPackageWriter, check_layers
from tests.geo.class_maps import blobs
from tests.geo.vector_features import batch_of, read, write_map

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


def test_what_a_dead_program_left_of_the_old_file_does_not_spoil_the_new_one(tmp_path) -> None:
    path = tmp_path / "map.gpkg"
    write_map(path, blobs(30, 20, 3, 1))
    die_with_it_open = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE notes AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
           "LIMIT 500) SELECT i, hex(randomblob(200)) FROM n")
db.commit()
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", die_with_it_open, str(path)])
    assert Path(f"{path}-wal").stat().st_size > 100_000
    labels = blobs(40, 20, 3, 2)
    report = write_map(path, labels)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(read(path)[1]) == report.features


def test_layers_of_others_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "project.gpkg"
    points = np.array([bytes.fromhex("0101000000" + 32 * "0")], dtype=object)
    pyogrio.raw.write(
        path, points, [np.array([1])], ["lanes"], layer="roads", driver="GPKG",
        geometry_type="Point", crs="EPSG:32632",
    )  # fmt: skip
    before = path.read_bytes()
    with pytest.raises(OutputError, match="other layers, which would be lost: roads"):
        write_map(path, blobs(4, 4, 2, 1))
    assert path.read_bytes() == before


def test_polygons_of_before_are_replaced_whatever_their_layer_is_called(tmp_path: Path) -> None:
    write_map(tmp_path / "old.gpkg", blobs(4, 4, 2, 1))
    path = (tmp_path / "old.gpkg").rename(tmp_path / "new.gpkg")
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE layer_styles (name TEXT)")
        db.execute(
            "INSERT INTO gpkg_contents (table_name, data_type) VALUES ('layer_styles','attributes')"
        )
        db.commit()
    check_layers(path)
    write_map(path, blobs(4, 4, 2, 2))
    (tmp_path / "text.gpkg").write_text("no database")
    check_layers(tmp_path / "text.gpkg")
