"""Polygons in degrees, against where pyproj says that the centres of the pixels lie."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS

from mmrs.geo.georeference import Georeference, to_coordinates
from tests.geo.class_maps import NODATA, blobs, noise
from tests.geo.vector_features import write_map


def rings_within_rings(height: int, width: int) -> np.ndarray:
    rows, cols = np.indices((height, width))
    far = np.maximum(abs(2 * rows - height + 1), abs(2 * cols - width + 1))
    return (far // 8 % 3).astype(np.uint8)


def holes_along_the_border() -> np.ndarray:
    labels = np.zeros((30, 4000), dtype=np.uint8)
    labels[1:3, 100:-100:100] = labels[-3:-1, 100:-100:100] = 1
    return labels


MAPS = {
    "a wide map": (32633, Affine(30, 0, 4.4e5, 0, -30, 7.2e6), holes_along_the_border()),
    "over the date line": (32660, Affine(20_000, 0, 2e5, 0, -20_000, 6e6), blobs(40, 50, 3, 1)),
    "the South Pole in a ring": (
        3031, Affine(50_000, 0, -1.1e6, 0, -50_000, 1.12e6), rings_within_rings(44, 44),
    ),
    "the North Pole": (3413, Affine(90_000, 0, -1.75e6, 0, -90_000, 2.05e6), blobs(40, 40, 2, 3)),
    "a region that winds to and fro round a pole": (
        3031, Affine(50_000, 0, -7.3e5, 0, -50_000, 7.1e5), noise(30, 30, 1, 3),
    ),
    "holes that touch each other on the date line": (
        32660, Affine(20_000, 0, 7.1e5, 0, -20_000, 4.3e6), noise(26, 14, 1, 2),
    ),
    "0 to 360 degrees": (4326, Affine(5, 0, 0, 0, -5, 90), blobs(36, 72, 3, 2)),
    "the whole Earth": (4326, Affine(5, 0, -180, 0, -5, 90), np.zeros((36, 72), dtype=np.uint8)),
    "the web's Earth": (3857, Affine(6.2e5, 0, -2e7, 0, -6.2e5, 2e7), blobs(64, 64, 2, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_every_pixel_lies_in_a_polygon_of_its_class(tmp_path: Path, name: str) -> None:
    epsg, transform, labels = MAPS[name]
    path = tmp_path / "map.geojson"
    reference = Georeference(CRS.from_epsg(epsg), transform)
    report = write_map(path, labels, heights=(len(labels),), reference=reference)
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    assert len(features) == report.features
    polygons = np.array([shapely.geometry.shape(f["geometry"]) for f in features])
    assert shapely.is_valid(polygons).all()
    low, high = shapely.total_bounds(polygons).reshape(2, 2)
    assert (low >= [-180, -90]).all() and (high <= [180, 90]).all()

    rows, cols = np.indices(labels.shape).reshape(2, -1)
    to_lonlat = Transformer.from_crs(epsg, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(*to_coordinates(transform, cols + 0.5, rows + 0.5))
    lon = (lon + 180) % 360 - 180
    point, polygon = shapely.STRtree(polygons).query(shapely.points(lon, lat), "within")
    found = np.full(labels.size, NODATA, dtype=np.uint8)
    found[point] = [features[index]["properties"]["class_id"] for index in polygon]
    assert len(np.unique(point)) == len(point)
    np.testing.assert_array_equal(found.reshape(labels.shape), labels)


def test_sides_that_run_over_kilometres_stay_where_they_were(tmp_path: Path) -> None:
    epsg, transform, labels = MAPS["a wide map"]
    path = tmp_path / "map.geojson"
    write_map(path, labels, reference=Georeference(CRS.from_epsg(epsg), transform))
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    polygons = np.array([shapely.geometry.shape(f["geometry"]) for f in features])
    assert shapely.coverage_is_valid(polygons)
    back = Transformer.from_crs(4326, epsg, always_xy=True)
    placed = shapely.transform(polygons, back.transform, interleaved=False)
    height, width = labels.shape
    corners = [to_coordinates(transform, c, r) for c in (0, width) for r in (0, height)]
    whole = shapely.box(*np.min(corners, axis=0), *np.max(corners, axis=0))
    assert shapely.hausdorff_distance(shapely.union_all(placed), whole, densify=0.001) < 1


def test_what_is_straight_in_degrees_gets_no_points(tmp_path: Path) -> None:
    reference = Georeference(CRS.from_epsg(4326), Affine(0.1, 0, 5, 0, -0.1, 60))
    report = write_map(tmp_path / "map.geojson", blobs(30, 30, 3, 1), reference=reference)
    features = json.loads((tmp_path / "map.geojson").read_text(encoding="utf-8"))["features"]
    polygons = [shapely.geometry.shape(f["geometry"]) for f in features]
    assert shapely.get_num_coordinates(polygons).sum() == report.points
