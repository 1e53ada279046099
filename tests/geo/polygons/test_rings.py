from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine

from mmrs.geo.polygons.rings import KEPT, REGION_BELOW, CornerGrid, polygons_of

GRID = CornerGrid(8)


def square(row: int, col: int, size: int) -> np.ndarray:
    """Corners of a square of pixels."""
    rows = np.array([row, row, row + size, row + size])
    cols = np.array([col, col + size, col, col + size])
    codes = KEPT | REGION_BELOW * np.array([1, 1, 0, 0])
    return GRID.pack(rows, cols, codes)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_corners_does_not_matter(seed: int) -> None:
    corners = np.concatenate([square(0, 0, 2), square(1, 5, 3), square(40, 3, 1)])
    regions = np.repeat([0, 1, 2], 4)
    mixed = np.random.default_rng(seed).permutation(12)
    found = polygons_of(regions[mixed], corners[mixed], GRID, count=3)
    expected = [shapely.box(0, 0, 2, 2), shapely.box(5, 1, 8, 4), shapely.box(3, 40, 4, 41)]
    assert shapely.equals(found, expected).all()
    assert all(polygon.exterior.is_ccw for polygon in found)


def test_a_mirrored_grid_keeps_the_sense_of_rings() -> None:
    [found] = polygons_of(
        np.zeros(4, dtype=np.int64), square(0, 0, 2), GRID, count=1, transform=Affine.scale(1, -1)
    )
    assert found.exterior.is_ccw and found.equals(shapely.box(0, -2, 2, 0))


def test_corners_that_are_not_kept_are_left_out() -> None:
    corners = square(0, 0, 2)
    corners[1] -= KEPT
    [found] = polygons_of(np.zeros(4, dtype=np.int64), corners, GRID, count=1)
    assert found.equals(shapely.Polygon([(0, 0), (0, 2), (2, 2)]))


def test_regions_too_many_for_one_number_are_taken_by_halves() -> None:
    grid = CornerGrid(30)
    far = np.int64(2**26)
    regions = np.repeat(np.arange(20), 4)
    corners = []
    for region in range(20):
        own = square(0, region, 1)
        low = own & 15
        col, row = own >> 4 & 255, own >> 12
        corners.append(grid.pack(row + far * (region % 2), col + far, low))
    found = polygons_of(regions, np.concatenate(corners), grid, count=20)
    bounds = shapely.bounds(found)
    np.testing.assert_array_equal(bounds[:, 0], far + np.arange(20))
    np.testing.assert_array_equal(bounds[:, 1], far * (np.arange(20) % 2))


def test_no_regions_have_no_polygons() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert len(polygons_of(nothing, nothing, GRID, count=0)) == 0
