"""The streaming sieve, against one that looks at the whole map pixel by pixel."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.geo.polygons.row_strips import Rows, stacked
from mmrs.geo.polygons.sieve import Sieve
from tests.geo.class_maps import NODATA, label_maps, noise, pieces, regions


def sift(labels: np.ndarray, minimum: float, heights=(1000,), pixel_m2=None, **options):
    sieve = Sieve(labels.shape[1], minimum, **options)
    done, row = [], 0
    for piece in pieces(labels, heights):
        areas = None if pixel_m2 is None else pixel_m2[row : row + len(piece)]
        row += len(piece)
        done += sieve.push(Rows(piece, None, areas))
    rest = sieve.finish()
    return stacked([*done, *([] if rest is None else [rest])]).labels, sieve


def slow_sieve(labels: np.ndarray, minimum: int) -> np.ndarray:
    """Small regions to the large one with the longest border, in rounds; loops over pixels."""
    numbers, count = regions(labels)
    area = np.bincount(numbers.ravel(), minlength=count + 1)
    begin = {n: int(np.flatnonzero(numbers.ravel() == n)[0]) for n in range(1, count + 1)}
    target = {n: n for n in begin if area[n] >= minimum}
    height, width = labels.shape
    borders: dict[int, dict[int, int]] = {n: {} for n in begin}
    for row in range(height):
        for col in range(width):
            for down, right in ((0, 1), (1, 0)):
                if row + down < height and col + right < width:
                    one, other = numbers[row, col], numbers[row + down, col + right]
                    if one and other and one != other:
                        borders[one][other] = borders[one].get(other, 0) + 1
                        borders[other][one] = borders[other].get(one, 0) + 1
    while True:
        given_now = {}
        for region in begin.keys() - target.keys():
            sides: dict[int, int] = {}
            for other, length in borders[region].items():
                if other in target:
                    sides[target[other]] = sides.get(target[other], 0) + length
            if sides:
                given_now[region] = min(sides, key=lambda t: (-sides[t], begin[t]))
        if not given_now:
            break
        target |= given_now
    out = np.full_like(labels, NODATA)
    for region, owner in target.items():
        out[numbers == region] = labels.ravel()[begin[owner]]
    return out


@given(label_maps(14), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_a_map_within_a_strip_is_sieved_as_a_whole(labels, minimum) -> None:
    found, sieve = sift(labels, minimum, (3,))
    expected = slow_sieve(labels, minimum)
    np.testing.assert_array_equal(found, expected)
    dropped = (expected == NODATA) & (labels != NODATA)
    assert sieve.dropped_px == dropped.sum()
    assert sieve.moved_px == ((expected != labels) & ~dropped).sum()


@given(
    label_maps(25), st.integers(2, 9), st.integers(0, 3), st.lists(st.integers(1, 9), min_size=1)
)
@settings(max_examples=60, deadline=None)
def test_strips_leave_no_small_region_and_no_large_one_changed(
    labels, minimum, more, heights
) -> None:
    found, sieve = sift(labels, minimum, heights, strip_rows=minimum + more)
    numbers, count = regions(found)
    assert (np.bincount(numbers.ravel(), minlength=count + 1)[1:] >= minimum).all()
    before = regions(labels)[0]
    large = np.bincount(before.ravel())[before] >= minimum
    np.testing.assert_array_equal(found[large], labels[large])
    np.testing.assert_array_equal(found == NODATA, (labels == NODATA) | (found == NODATA))
    assert (found != labels).sum() == sieve.moved_px + sieve.dropped_px
    assert ((found == NODATA) & (labels != NODATA)).sum() == sieve.dropped_px
    again, _ = sift(labels, minimum, (1000,), strip_rows=minimum + more)
    np.testing.assert_array_equal(found, again)


def test_the_longest_border_decides() -> None:
    labels = np.zeros((6, 8), dtype=np.uint8)
    labels[:, 4:] = 1
    labels[2:4, 3] = 2  # 1 + 1 + 2 sides to 0, 2 sides to 1
    found, sieve = sift(labels, 3)
    assert (found[2:4, 3] == 0).all()
    assert (sieve.moved_regions, sieve.moved_px, sieve.dropped_px) == (1, 2, 0)


def test_small_among_small_follow_their_neighbours() -> None:
    labels = np.zeros((5, 9), dtype=np.uint8)
    labels[1:4, 1:8] = noise(3, 7, 3, 0) % 3 + 1
    found, sieve = sift(labels, 20)
    assert (found == 0).all() and sieve.dropped_px == 0


def test_a_region_whose_size_is_not_known_yet_is_waited_for() -> None:
    # twelve rows a strip: of the long region four rows are known when the first strip is done
    labels = np.full((60, 3), NODATA, dtype=np.uint8)
    labels[20:, 1], labels[20, 0] = 1, 0
    found, sieve = sift(labels, 12, strip_rows=12)
    assert found[20, 0] == 1 and (sieve.moved_px, sieve.dropped_px) == (1, 0)


def test_the_longest_border_decides_also_with_what_is_not_known_yet() -> None:
    labels = np.full((60, 3), NODATA, dtype=np.uint8)
    labels[5:, 0], labels[20:, 1:], labels[20:22, 1] = 0, 1, 2
    found, _ = sift(labels, 12, strip_rows=12)  # two sides to the left, three right and below
    assert (found[20:22, 1] == 1).all()


def test_dropping_makes_nodata_of_all_small_regions() -> None:
    labels = np.zeros((5, 5), dtype=np.uint8)
    labels[2, 2] = 1
    found, sieve = sift(labels, 2, merge=False)
    assert found[2, 2] == NODATA
    assert (sieve.dropped_regions, sieve.dropped_px, sieve.moved_px) == (1, 1, 0)


def test_an_island_of_small_regions_is_dropped() -> None:
    labels = np.full((5, 5), NODATA, dtype=np.uint8)
    labels[1:3, 1:3] = [[0, 1], [1, 0]]
    found, sieve = sift(labels, 3)
    assert (found == NODATA).all() and sieve.dropped_regions == 4


def test_a_region_across_a_whole_strip_is_large_whatever_its_area() -> None:
    labels = np.zeros((60, 5), dtype=np.uint8)
    labels[:, 2], labels[3:6, 4] = 1, 2
    found, _ = sift(labels, 100, strip_rows=10)
    assert (found[:, 2] == 1).all() and not (found == 2).any()


def test_a_large_region_far_away_takes_no_time() -> None:
    labels = (np.indices((64, 3000)).sum(0) % 2).astype(np.uint8)
    labels[:, :10] = 2
    begin = time.process_time()
    found, _ = sift(labels, 500)
    assert (found == 2).all()
    assert time.process_time() - begin < 5  # every border was looked at in each of 3,000 rounds


@pytest.mark.parametrize(
    ("width", "minimum", "rows"),
    [(10, 2, 64), (10, 200, 200), (10, 9_999, 1024), (2**16, 9_999, 256), (2**20, 9_999, 64)],
)
def test_strips_are_as_high_as_small_regions_within_limits(width, minimum, rows) -> None:
    assert Sieve(width, minimum).strip_rows == rows


def test_areas_in_square_metres_follow_the_rows() -> None:
    labels = np.zeros((8, 6), dtype=np.uint8)
    labels[1, 1:3], labels[6, 1:3] = 1, 1
    found, _ = sift(labels, 5, pixel_m2=np.linspace(1, 4, 8), in_m2=True, smallest_pixel_m2=1.0)
    assert (found[1] == 0).all() and (found[6, 1:3] == 1).all()


@pytest.mark.parametrize("side", [3, 7, 13, 20, 33])
@pytest.mark.parametrize("gsd", [0.3, 0.7, 1.1])
def test_a_region_of_just_the_minimum_is_large(side: int, gsd: float) -> None:
    labels = np.zeros((60, 60), dtype=np.uint8)
    labels[2 : 2 + side, 3 : 3 + side] = 1
    minimum = round(side**2 * gsd**2, 6)
    found, _ = sift(labels, minimum, pixel_m2=np.full(60, gsd**2), in_m2=True)
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimum": 0}, "areas must be > 0, got 0"),
        ({"minimum": float("inf")}, "areas must be > 0"),
        ({"minimum": 2, "smallest_pixel_m2": 0}, "areas must be > 0"),
        ({"minimum": 2, "strip_rows": 0}, "strip_rows must be >= 1, got 0"),
    ],
)
def test_options_without_meaning_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        Sieve(4, **options)


def test_square_metres_need_the_areas_of_pixels() -> None:
    with pytest.raises(ValueError, match="needs pixel_m2"):
        Sieve(4, 3.0, in_m2=True).push(Rows(np.zeros((1, 4), dtype=np.uint8)))
