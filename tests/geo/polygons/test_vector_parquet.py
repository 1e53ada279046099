"""GeoParquet: the metadata of version 1.1 and well-known binary."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from mmrs.geo.polygons.vector_parquet import GeoParquetWriter
from tests.geo.vector_features import batch_of

EMPTY = {"class_id": np.empty(0, dtype=np.int32), "class": np.empty(0, dtype=object)}


def metadata(path: Path, crs: CRS | None, polygons: np.ndarray) -> dict:
    writer = GeoParquetWriter(path, path, crs, EMPTY)
    if len(polygons):
        ids = np.arange(len(polygons), dtype=np.int32)
        writer.write(polygons, {"class_id": ids, "class": ids.astype(str).astype(object)})
    writer.close()
    writer.read_back()
    return json.loads(pq.read_metadata(path).metadata[b"geo"])


@pytest.mark.parametrize("epsg", [4326, 32632, 2056])
def test_metadata_tell_crs_bounds_and_encoding(tmp_path: Path, epsg: int) -> None:
    grid = Affine(2, 0, 7, 0, -2, 50)
    polygons = batch_of(transform=grid).polygons
    told = metadata(tmp_path / "map.parquet", CRS.from_epsg(epsg), polygons)
    assert told["version"] == "1.1.0" and told["primary_column"] == "geom"
    column = told["columns"]["geom"]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
    assert pyproj.CRS.from_json_dict(column["crs"]) == pyproj.CRS.from_epsg(epsg)
    np.testing.assert_array_equal(column["bbox"], shapely.total_bounds(polygons))
    found = shapely.from_wkb(np.array(pq.read_table(tmp_path / "map.parquet")["geom"]))
    assert shapely.equals(found, polygons).all()
    assert column["orientation"] == "counterclockwise"
    assert all(p.exterior.is_ccw for p in found)


def test_no_crs_is_told_as_none(tmp_path: Path) -> None:
    column = metadata(tmp_path / "map.parquet", None, np.empty(0, dtype=object))["columns"]["geom"]
    assert column["crs"] is None and "bbox" not in column
