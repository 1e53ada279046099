"""From rows to polygons: every pixel is accounted for, borders meet, metres are metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from mmrs.geo.georeference import Georeference
from tests.geo.class_maps import NODATA, blobs, burn, label_maps
from tests.geo.vector_features import DEGREES, UTM, read, write_map

ROTATED = Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(0.3, -0.3)


@given(
    label_maps(25),
    st.sampled_from([0, 3, 20]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from(["merge", "drop"]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_pixel_is_accounted_for(tmp_path, labels, least, tolerance, small) -> None:
    path = tmp_path / "map.parquet"
    report = write_map(path, labels, min_area_px=least, simplify_px=tolerance, small=small)
    _, polygons, columns = read(path)
    assert columns["area_px"].sum() == report.area_px and len(polygons) == report.features
    assert report.nodata_px == (labels == NODATA).sum()
    assert report.area_px + report.nodata_px + report.dropped_px == labels.size
    assert not len(polygons) or columns["area_px"].min() >= least
    if not tolerance:
        burnt = burn(polygons, columns["class_id"], labels.shape)
        assert (burnt != labels).sum() == report.moved_px + report.dropped_px
    assert small == "merge" or report.moved_px == 0


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet"])
def test_polygons_lie_where_the_map_lies(tmp_path: Path, suffix: str) -> None:
    labels = blobs(20, 30, 3, 0)
    path = tmp_path / f"map{suffix}"
    report = write_map(path, labels, reference=DEGREES)
    meta, polygons, columns = read(path)
    assert suffix == ".parquet" or meta["crs"] == "EPSG:4326"
    back = shapely.transform(polygons, lambda p: (p - [15, 60]) / [1e-5, -2e-5])
    np.testing.assert_array_equal(burn(back, columns["class_id"], labels.shape), labels)
    # 1e-5 x 2e-5 degrees at 60 degrees north: 0.5580 m by 2.2282 m
    assert columns["area_m2"].sum() == pytest.approx(report.area_m2)
    assert report.area_m2 == pytest.approx(report.area_px * 0.5580 * 2.2282, rel=1e-3)


def test_minimum_and_tolerance_in_metres_are_those_in_pixels(tmp_path: Path) -> None:
    labels = blobs(60, 60, 3, 3)
    for name, options in (
        ("metres.gpkg", {"min_area_m2": 40.0, "simplify_m": 3.0}),
        ("pixels.gpkg", {"min_area_px": 10, "simplify_px": 1.5}),
    ):
        write_map(tmp_path / name, labels, reference=UTM, **options)
    (_, one, first), (_, other, second) = (
        read(tmp_path / n) for n in ("metres.gpkg", "pixels.gpkg")
    )
    assert shapely.equals(one, other).all()
    np.testing.assert_array_equal(first["area_m2"], second["area_m2"])
    assert first["area_m2"].min() >= 40


def test_simpler_borders_move_by_no_more_metres_than_told(tmp_path: Path) -> None:
    # pixels of half a metre by two: the tolerance holds along the longer side
    row, col = np.mgrid[:60, :60]
    labels = (col > (row - 30) ** 2 / 15).astype(np.uint8)
    write_map(tmp_path / "exact.parquet", labels, reference=DEGREES)
    write_map(tmp_path / "simple.parquet", labels, reference=DEGREES, simplify_m=2.3)
    (_, exact, _), (_, simple, _) = (read(tmp_path / f"{n}.parquet") for n in ("exact", "simple"))
    metres = np.array([0.5580, 2.2282]) / [1e-5, 2e-5]
    for one, other in zip(exact, simple, strict=True):
        line = shapely.transform(other.exterior, lambda p: p * metres)
        points = shapely.points(np.array(one.exterior.coords) * metres)
        assert 0.3 < shapely.distance(points, line).max() <= 2.3
    assert shapely.get_num_coordinates(simple).sum() < shapely.get_num_coordinates(exact).sum() / 3


def test_metres_hold_where_pixels_are_largest(tmp_path: Path) -> None:
    # a web map: pixels of the last row, near the equator, are four times as long as the first's
    row, col = np.mgrid[:120, :120]
    labels = (col - row // 2 > 30 + 4 * np.sin(row / 5)).astype(np.uint8)
    reference = Georeference(CRS.from_epsg(3857), Affine(1e5, 0, 0, 0, -1e5, 1.2e7))
    write_map(tmp_path / "exact.parquet", labels, reference=reference)
    write_map(tmp_path / "simple.parquet", labels, reference=reference, simplify_m=150_000)
    (_, exact, _), (_, simple, _) = (read(tmp_path / f"{n}.parquet") for n in ("exact", "simple"))
    for one, other in zip(exact, simple, strict=True):
        points = shapely.points(np.array(one.exterior.coords))
        near_the_equator = points[shapely.get_y(points) < 1e6]
        assert 5e4 < shapely.distance(near_the_equator, other.exterior).max() <= 150_000


@pytest.mark.parametrize(
    ("suffix", "transform"),
    [(".geojson", UTM.transform), (".gpkg", ROTATED), (".gpkg", UTM.transform)],
)
def test_neighbours_meet_without_gaps_in_the_coordinates_of_the_file(
    tmp_path: Path, suffix: str, transform: Affine
) -> None:
    labels = blobs(25, 25, 3, 6)
    labels[labels == NODATA] = 3
    path = tmp_path / f"map{suffix}"
    write_map(path, labels, reference=Georeference(UTM.crs, transform))
    polygons = read(path)[1]
    shared = suffix == ".geojson" or transform is ROTATED
    assert shapely.coverage_is_valid(polygons) == shared
    assert shapely.union_all(polygons).geom_type == "Polygon"
    if shared:
        whole = shapely.coverage_union_all(polygons)
        assert whole.geom_type == "Polygon" and not whole.interiors
