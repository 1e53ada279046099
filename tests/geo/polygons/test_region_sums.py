from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.polygons.region_sums import RegionSums, area_of_runs, sums_of_runs
from mmrs.geo.polygons.runs import find_runs

LABELS = np.array([[0, 0, 1], [1, 1, 1]], dtype=np.uint8)


def test_runs_are_added_up_in_double_precision() -> None:
    scores = np.array([[0.1, 0.2, 0.4], [1, 1, 1e-7]], dtype=np.float32)
    sums = sums_of_runs(find_runs(LABELS), LABELS.shape, scores, np.array([2.0, 5.0]))
    assert sums.pixels.tolist() == [2, 1, 3]
    assert sums.square_metres.tolist() == [4, 2, 15]
    exact = [
        float(scores[0, 0]) + float(scores[0, 1]),
        float(scores[0, 2]),
        2 + float(scores[1, 2]),
    ]
    assert sums.confidence.tolist() == pytest.approx(exact, rel=1e-15)


def test_what_is_not_given_is_nothing() -> None:
    sums = sums_of_runs(find_runs(LABELS), LABELS.shape, None, None)
    assert not sums.confidence.any() and not sums.square_metres.any()


def test_groups_are_added_up_and_chosen() -> None:
    sums = RegionSums(np.array([1.0, 2.0, 4.0]), np.array([3.0, 6.0, 12.0]), np.zeros(3))
    grouped = RegionSums.nothing().before(sums).grouped(np.array([1, 0, 1]), 3)
    assert grouped.pixels.tolist() == [2, 5, 0] and grouped.square_metres.tolist() == [6, 15, 0]
    assert grouped.chosen(np.array([1])).pixels.tolist() == [5]


@pytest.mark.parametrize("width", [1, 3, 10, 16, 50])
def test_areas_that_change_along_rows_are_those_of_the_pixels(width: int) -> None:
    rng = np.random.default_rng(width)
    labels = rng.integers(0, 2, (6, width), dtype=np.uint8)
    of_piece = rng.uniform(1, 2, (6, 5))
    # pixels cut fine, so that each part lies in one piece
    of_pixel = np.repeat(of_piece, width, axis=1).reshape(6, width, 5).mean(axis=2)
    runs = find_runs(labels)
    expected = np.bincount(runs.ids.ravel(), weights=of_pixel.ravel())
    np.testing.assert_allclose(area_of_runs(runs, width, of_piece), expected, rtol=1e-12)
