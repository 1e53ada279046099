from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from mmrs.geo.polygons.region_corners import region_corners
from mmrs.geo.polygons.rings import CODE_BITS, KEPT, CornerGrid
from mmrs.geo.polygons.runs import find_runs
from tests.geo.class_maps import NODATA, label_maps

GRID = CornerGrid(8)


def places(labels: np.ndarray, **options) -> list[tuple[int, int, int]]:
    """(label, row, column) of every corner, the lower side of the last row included."""
    empty = np.full((1, labels.shape[1]), NODATA, dtype=np.uint8)
    stack = np.concatenate([empty, labels, empty])
    runs = find_runs(stack)
    ids, corners = region_corners(stack, runs.ids, GRID, first_row=0, nodata=NODATA, **options)
    packed = corners >> CODE_BITS
    owners = runs.labels[ids]
    return sorted(
        zip(owners.tolist(), (packed >> 8).tolist(), (packed & 255).tolist(), strict=True)
    )


@given(label_maps(8))
@settings(max_examples=60, deadline=None)
def test_corners_are_where_a_loop_over_places_finds_them(labels) -> None:
    height, width = labels.shape
    padded = np.pad(labels, 1, constant_values=NODATA)
    expected = []
    for row in range(height + 1):
        for col in range(width + 1):
            around = padded[row : row + 2, col : col + 2]
            for label in set(around.ravel().tolist()) - {NODATA}:
                own = around == label
                if own.sum() in (1, 3):
                    expected.append((label, row, col))
                elif own[0, 0] == own[1, 1] and own.sum() == 2:
                    expected += [(label, row, col)] * 2
    assert places(labels) == sorted(expected)


def test_where_three_regions_meet_all_three_have_corners() -> None:
    labels = np.array([[0, 0], [1, 2]], dtype=np.uint8)
    assert (0, 1, 1) not in places(labels)
    with_junctions = places(labels, junctions=True)
    assert with_junctions.count((0, 1, 1)) == 2  # a point on a straight border ends two pieces
    assert with_junctions.count((1, 1, 1)) == with_junctions.count((2, 1, 1)) == 1


def test_kept_places_of_borders_straight_down_become_corners() -> None:
    labels = np.array([[0, 1], [0, 1]], dtype=np.uint8)
    kept = np.zeros((3, 3), dtype=bool)
    assert (0, 1, 1) not in places(labels, kept=kept)
    kept[1, 1] = True
    found = places(labels, kept=kept)
    assert found.count((0, 1, 1)) == found.count((1, 1, 1)) == 2


def test_corners_that_are_not_kept_say_so() -> None:
    stack = np.array([[NODATA, NODATA], [0, 1]], dtype=np.uint8)
    kept = np.array([[True, False, False]])
    runs = find_runs(stack)
    _, corners = region_corners(stack, runs.ids, GRID, first_row=5, nodata=NODATA, kept=kept)
    told = {((c >> CODE_BITS) & 255, bool(c & KEPT)) for c in corners.tolist()}
    assert told == {(0, True), (1, False), (2, False)}
    assert {c >> (CODE_BITS + 8) for c in corners.tolist()} == {5}
