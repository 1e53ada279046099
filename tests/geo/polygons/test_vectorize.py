"""Polygons of class maps that come in pieces, against GDAL's of the whole map."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.geo.polygons.polygon_batch import ClassPolygon
from mmrs.geo.polygons.vectorize import PolygonStream
from tests.geo.class_maps import (
    NODATA,
    blobs,
    burn,
    comb,
    gdal_polygons,
    label_maps,
    noise,
    normal,
    pieces,
    regions,
    spiral,
)

LONG = 10 if os.environ.get("MMRS_LONG_TESTS") else 1
ROOT = Path(__file__).resolve().parents[3]


def polygons_of(labels: np.ndarray, heights=(1000,), **options) -> list[ClassPolygon]:
    stream = PolygonStream(labels.shape[1], **options)
    found = []
    for piece in pieces(labels, heights):
        found += stream.push(piece)
    return found + list(stream.finish())


@given(label_maps(), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans())
@settings(max_examples=150 * LONG, deadline=None)
def test_polygons_are_gdals_and_burn_back_to_the_map(labels, heights, junctions) -> None:
    found = polygons_of(labels, heights, junctions=junctions)
    shapes = [p.polygon for p in found]
    assert all(shapely.is_valid(shapes)) and all(s.exterior.is_ccw for s in shapes)
    assert {(p.label, normal(p.polygon)) for p in found} == gdal_polygons(labels)
    assert len(found) == regions(labels)[1]
    np.testing.assert_array_equal(burn(shapes, [p.label for p in found], labels.shape), labels)
    assert [s.area for s in shapes] == [p.area_px for p in found]
    assert sum(p.area_px for p in found) == np.count_nonzero(labels != NODATA)


@pytest.mark.parametrize("heights", [(1,), (2, 3), (50,)])
@pytest.mark.parametrize(
    "labels",
    [spiral(31), spiral(32)[::-1], comb(40, 21), comb(40, 21)[::-1], 1 - comb(20, 9)],
    ids=["spiral", "spiral upside down", "late joints", "early joints", "other teeth"],
)
def test_regions_that_join_late_are_one(labels, heights) -> None:
    labels = np.ascontiguousarray(labels)
    found = polygons_of(labels, heights)
    assert {(p.label, normal(p.polygon)) for p in found} == gdal_polygons(labels)


def test_holes_in_holes_are_kept() -> None:
    labels = np.zeros((11, 11), dtype=np.uint8)
    for inset in range(1, 6):
        labels[inset:-inset, inset:-inset] = inset % 2
    found = polygons_of(labels, (3,))
    assert sorted((p.area_px, len(p.polygon.interiors)) for p in found) == [
        (1, 0), (8, 1), (16, 1), (24, 1), (32, 1), (40, 1),
    ]  # fmt: skip


def test_a_ring_that_touches_itself_is_two_rings() -> None:
    # the region goes round the hole at (1, 1) and meets itself again at one point
    labels = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.uint8)
    [ring, *_] = sorted(polygons_of(labels), key=lambda p: -p.area_px)
    assert ring.polygon.is_valid and len(ring.polygon.interiors) == 1


def test_a_polygon_comes_as_soon_as_no_row_can_touch_it() -> None:
    labels = np.full((8, 9), NODATA, dtype=np.uint8)
    labels[1, 1:3], labels[3, 5], labels[5:, 8] = 1, 2, 3
    stream = PolygonStream(9)
    came = {}
    for row in range(8):
        for polygon in stream.push(labels[row : row + 1]):
            came[polygon.label] = row
    assert came == {1: 2, 2: 4}
    assert stream.open_regions == 1
    assert [p.label for p in stream.finish()] == [3]
    assert stream.rows == 8


def test_a_region_over_a_thousand_pieces_is_one() -> None:
    labels = np.tile(np.array([[0, 1, 0, 2]], dtype=np.uint8), (1000, 1))
    labels[:, 2] = np.arange(1000) % 2 + 3
    found = polygons_of(labels, (1,))
    assert sorted(p.area_px for p in found)[-3:] == [1000, 1000, 1000]
    assert len(found) == 1003


def test_confidence_is_the_mean_in_double_precision() -> None:
    labels = blobs(30, 25, 3, 4)
    confidence = np.random.default_rng(0).random((30, 25), dtype=np.float32)
    confidence[labels == NODATA] = np.nan
    stream = PolygonStream(25)
    found = []
    for row in range(0, 30, 4):
        found += stream.push(labels[row : row + 4], confidence[row : row + 4])
    found += stream.finish()
    numbers, count = regions(labels)
    expected = sorted(confidence[numbers == n].mean(dtype=np.float64) for n in range(1, count + 1))
    np.testing.assert_allclose(sorted(p.confidence for p in found), expected, rtol=1e-12)


def test_areas_of_rows_are_added_up() -> None:
    labels = np.array([[0, 0, 1], [0, 1, 1]], dtype=np.uint8)
    stream = PolygonStream(3)
    found = [*stream.push(labels, row_area_m2=np.array([2.0, 3.0])), *stream.finish()]
    assert {p.label: p.area_m2 for p in found} == {0: 2 * 2 + 3, 1: 2 + 2 * 3}


@pytest.mark.parametrize(
    "transform",
    [
        Affine(2, 0, 500_000, 0, -2, 5_000_000),
        Affine(2, 0, 500_000, 0, 2, 5_000_000),
        Affine.translation(7, 9) @ Affine.rotation(30) @ Affine.scale(0.5, -0.25),
    ],
    ids=["north up", "south up", "rotated"],
)
def test_coordinates_follow_the_transform(transform: Affine) -> None:
    labels = blobs(20, 20, 3, 1)
    plain, placed = polygons_of(labels), polygons_of(labels, transform=transform)
    a, b, c, d, e, f = tuple(transform)[:6]
    for one, other in zip(plain, placed, strict=True):
        expected = shapely.affinity.affine_transform(one.polygon, [a, b, d, e, c, f])
        assert other.polygon.equals(expected) or other.polygon.equals_exact(
            shapely.normalize(expected), 1e-9, normalize=True
        )
        assert other.polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in other.polygon.interiors)


def test_junctions_give_neighbours_the_same_points() -> None:
    labels = blobs(30, 30, 4, 2)
    plain = np.array([p.polygon for p in polygons_of(labels)])
    shared = np.array([p.polygon for p in polygons_of(labels, junctions=True)])
    assert shapely.coverage_is_valid(shared) and not shapely.coverage_is_valid(plain)


@given(label_maps(), st.lists(st.integers(1, 9), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_pieces_do_not_change_the_order_of_polygons(labels, heights) -> None:
    one, other = polygons_of(labels), polygons_of(labels, heights)
    assert [p.polygon for p in one] == [p.polygon for p in other]


def test_chunks_within_a_push_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = noise(40, 30, 3, 0)
    whole = {(p.label, normal(p.polygon)) for p in polygons_of(labels)}
    monkeypatch.setattr("mmrs.geo.polygons.vectorize.CHUNK_PX", 100)
    assert {(p.label, normal(p.polygon)) for p in polygons_of(labels)} == whole


def test_a_scene_without_data_has_no_polygon() -> None:
    assert polygons_of(np.full((5, 4), NODATA, dtype=np.uint8)) == []
    assert polygons_of(np.empty((0, 4), dtype=np.uint8)) == []


def test_memory_does_not_grow_with_the_height() -> None:
    """Peak memory of 2,000 and of 20,000 rows of the same kind."""
    code = (
        "import resource, sys, numpy as np\n"
        "from mmrs.geo.polygons.vectorize import PolygonStream\n"
        "rng = np.random.default_rng(0)\n"
        "stream = PolygonStream(400)\n"
        "for _ in range(int(sys.argv[1]) // 100):\n"
        "    blocks = rng.integers(0, 4, (20, 80), dtype=np.uint8)\n"
        "    rows = np.kron(blocks, np.ones((5, 5), dtype=np.uint8))\n"
        "    rows[:, :5], rows[-1] = 0, 255\n"
        "    stream.push(rows)\n"
        "stream.finish()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", code, str(rows)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            ).stdout
        )
        for rows in (2_000, 20_000)
    ]
    assert peaks[1] < 1.05 * peaks[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s: s.push(np.zeros((2, 5), np.uint8)),
            r"labels must be \(n, 4\) uint8, got \(2, 5",
        ),
        (lambda s: s.push(np.zeros((2, 4), np.int64)), r"got \(2, 4\) int64"),
        (
            lambda s: s.push(np.zeros((2, 4), np.uint8), np.zeros((2, 5), np.float32)),
            r"confidence must be \(2, 4\), got \(2, 5\)",
        ),
        (
            lambda s: s.push(np.zeros((2, 4), np.uint8), kept=np.ones((2, 4), bool)),
            r"kept must be \(2, 5\)",
        ),
        (
            lambda s: [
                s.push(np.zeros((2, 4), np.uint8)),
                s.push(np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.float32)),
            ],
            "with all rows or with none",
        ),
        (lambda s: [s.finish(), s.push(np.zeros((2, 4), np.uint8))], "rows after finish"),
        (lambda s: [s.finish(), s.finish()], "finish is called once"),
    ],
)
def test_calls_that_cannot_mean_anything_are_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(PolygonStream(4))


def test_maps_without_width_or_area_are_refused() -> None:
    with pytest.raises(ValueError, match="width must be >= 1, got 0"):
        PolygonStream(0)
    with pytest.raises(ValueError, match="degenerate"):
        PolygonStream(3, Affine(1, 1, 0, 1, 1, 0))
