"""Simpler borders: neighbours share them, nothing crosses, nothing moves farther than told."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.geo.polygons.simplify import kept_corners, rows_of_strip
from mmrs.geo.polygons.vectorize import PolygonStream
from tests.geo.class_maps import NODATA, blobs, label_maps

LONG = 20 if os.environ.get("MMRS_LONG_TESTS") else 1


def simplified(labels: np.ndarray, tolerance: float, strip: int, **options):
    stream = PolygonStream(labels.shape[1])
    found = []
    for row in range(0, len(labels), strip):
        rows = labels[row : row + strip]
        found += stream.push(rows, kept=kept_corners(rows, tolerance, **options)[:-1])
    found += stream.finish()
    return np.array([p.polygon for p in found]), found


def original(labels: np.ndarray) -> np.ndarray:
    stream = PolygonStream(labels.shape[1])
    return np.concatenate([stream.push(labels).polygons, stream.finish().polygons])


@given(
    label_maps(24),
    st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 50.0]),
    st.integers(1, 30),
    st.booleans(),
)
@settings(max_examples=100 * LONG, deadline=None)
def test_neighbours_share_simpler_borders(labels, tolerance, strip, keep_outline) -> None:
    polygons, told = simplified(labels, tolerance, strip, keep_outline=keep_outline)
    before = original(labels)
    assert len(polygons) == len(before)
    if not len(before):
        return
    assert shapely.is_valid(polygons).all() and not shapely.is_empty(polygons).any()
    assert shapely.coverage_is_valid(polygons), "no overlap, and shared borders are the same"
    union, union_before = shapely.union_all(polygons), shapely.union_all(before)
    assert shapely.area(polygons).sum() == pytest.approx(union.area, abs=1e-6)
    if keep_outline:
        assert union.symmetric_difference(union_before).area == pytest.approx(0, abs=1e-9)
    numbers = [len(p.interiors) for p in polygons]
    assert sum(numbers) == shapely.get_num_interior_rings(before).sum()
    assert sum(p.area_px for p in told) == np.count_nonzero(labels != NODATA)


@pytest.mark.parametrize("tolerance", [0.8, 2.0, 5.0])
def test_no_border_moves_farther_than_the_tolerance(tolerance: float) -> None:
    labels = blobs(40, 40, 3, 11)
    labels[labels == NODATA] = 3
    polygons, _ = simplified(labels, tolerance, 100)
    for one, other in zip(original(labels), polygons, strict=True):
        for ring, simple in zip(shapely.get_rings(one), shapely.get_rings(other), strict=True):
            assert shapely.distance(simple, shapely.points(ring.coords)).max() <= tolerance + 1e-9


def test_stairs_become_a_straight_line() -> None:
    labels = np.tril(np.ones((40, 40), dtype=np.uint8))
    polygons, _ = simplified(labels, 1.0, 100)
    assert shapely.get_num_coordinates(original(labels)).sum() > 160
    assert shapely.get_num_coordinates(polygons).sum() < 16


def test_a_larger_tolerance_leaves_fewer_points() -> None:
    labels = blobs(60, 60, 3, 5)
    points = [
        int(shapely.get_num_coordinates(simplified(labels, t, 64)[0]).sum()) for t in (0, 1, 2)
    ]
    assert points[0] > points[1] > points[2]


def test_no_tolerance_keeps_every_corner() -> None:
    labels = blobs(20, 20, 3, 5)
    polygons, _ = simplified(labels, 0, 6)
    assert shapely.equals(polygons, original(labels)).all()


def test_small_regions_do_not_collapse() -> None:
    labels = np.zeros((9, 9), dtype=np.uint8)
    labels[4, 4], labels[0, 2], labels[8, 8], labels[6:8, 0] = 1, 2, 3, 4
    for strip in (1, 2, 3, 9):
        polygons, _ = simplified(labels, 100.0, strip)
        assert (shapely.area(polygons) > 0).all() and len(polygons) == 5


def test_the_outline_may_become_simpler_too() -> None:
    labels = np.tril(np.ones((30, 30), dtype=np.uint8))
    labels[labels == 0] = NODATA
    exact, _ = simplified(labels, 1.0, 100)
    loose, _ = simplified(labels, 1.0, 100, keep_outline=False)
    assert shapely.equals(exact, original(labels)).all()
    assert shapely.get_num_coordinates(loose).sum() < 12


def test_a_map_with_every_label_keeps_its_outline() -> None:
    # no label is left to stand for what is outside
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(
        kept_corners(labels, 2.0, keep_outline=False), kept_corners(labels, 2.0)
    )


def test_combs_are_halved_and_not_cut_tooth_by_tooth() -> None:
    labels = np.zeros((9, 12_000), dtype=np.uint8)
    labels[4:, 1::2], labels[6:] = 1, 1
    begin = time.process_time()
    assert kept_corners(labels, 1.5).any()
    assert time.process_time() - begin < 3  # as many rounds as teeth took 6 seconds


def test_strips_of_wide_maps_have_fewer_rows() -> None:
    assert [rows_of_strip(w) for w in (1, 16_384, 50_000, 2**23)] == [256, 256, 83, 1]


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_a_tolerance_without_meaning_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance must be >= 0"):
        kept_corners(np.zeros((2, 2), dtype=np.uint8), tolerance)
