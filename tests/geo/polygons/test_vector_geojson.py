"""GeoJSON against RFC 7946: longitude and latitude, rings by the right-hand rule, no NaN."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS

from mmrs.errors import OutputError
from mmrs.geo.polygons.vector_geojson import GeoJsonWriter
from tests.geo.vector_features import batch_of

GRID = Affine(2, 0, 500_000, 0, -2, 5_000_000)
EMPTY = {"class": np.empty(0, dtype=object), "score": np.empty(0)}


def written(path: Path, polygons: np.ndarray, crs: CRS) -> dict:
    writer = GeoJsonWriter(path, path, crs, EMPTY)
    half = len(polygons) // 2
    for part in (polygons[:half], polygons[half:]):
        names = np.array(['é "q"'] * len(part), dtype=object)
        writer.write(part, {"class": names, "score": np.full(len(part), np.nan)})
    writer.close()
    writer.read_back()
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_coordinates_are_longitude_and_latitude_with_the_right_hand_rule(tmp_path: Path) -> None:
    polygons = batch_of(transform=GRID).polygons
    told = written(tmp_path / "é.geojson", polygons, CRS.from_epsg(32632))
    assert set(told) == {"type", "name", "features"} and told["name"] == "é"
    to_lonlat = Transformer.from_crs(32632, 4326, always_xy=True)
    expected = shapely.transform(polygons, to_lonlat.transform, interleaved=False)
    found = [shapely.geometry.shape(f["geometry"]) for f in told["features"]]
    for one, other in zip(found, expected, strict=True):
        assert one.normalize().equals_exact(other.normalize(), 2e-9)
        assert one.exterior.is_ccw and not any(ring.is_ccw for ring in one.interiors)
    assert told["features"][0]["properties"] == {"class": 'é "q"', "score": None}


def test_neighbours_still_share_their_points(tmp_path: Path) -> None:
    polygons = batch_of(transform=GRID).polygons
    told = written(tmp_path / "map.geojson", polygons, CRS.from_epsg(32632))
    lines = (tmp_path / "map.geojson").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(polygons) + 2  # a feature a line
    found = np.array([shapely.geometry.shape(f["geometry"]) for f in told["features"]])
    points, before = shapely.get_coordinates(found), shapely.get_coordinates(polygons)
    assert len(np.unique(points, axis=0)) == len(np.unique(before, axis=0))


def test_rings_are_turned_where_they_run_the_other_way(tmp_path: Path) -> None:
    clockwise = shapely.Polygon(
        [(0, 0), (0, 3), (3, 3), (3, 0)], [[(1, 1), (2, 1), (2, 2), (1, 2)]]
    )
    told = written(tmp_path / "map.geojson", np.array([clockwise]), CRS.from_epsg(4326))
    found = shapely.geometry.shape(told["features"][0]["geometry"])
    assert found.exterior.is_ccw and not found.interiors[0].is_ccw


def test_degrees_stay_as_they_are(tmp_path: Path) -> None:
    polygons = np.array([shapely.box(15, 48, 15.25, 48.5)])
    told = written(tmp_path / "map.geojson", polygons, CRS.from_epsg(4326))
    assert shapely.geometry.shape(told["features"][0]["geometry"]).equals(polygons[0])


def test_what_lies_off_the_earth_is_refused(tmp_path: Path) -> None:
    polygons = np.array([shapely.box(9e6, 9e6, 9.1e6, 9.1e6)])
    writer = GeoJsonWriter(
        tmp_path / "map.geojson", Path("map.geojson"), CRS.from_string("+proj=ortho"), EMPTY
    )
    with pytest.raises(OutputError, match="cannot be turned into longitude and latitude"):
        writer.write(polygons, {"class": np.array(["a"], dtype=object), "score": np.zeros(1)})
    writer.abandon()
