"""Areas of pixels, against pyproj's geodesic polygons."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer

from mmrs.geo.georeference import to_coordinates
from mmrs.geo.pixel_area import pixel_areas

ROTATED = Affine.translation(15, 48) @ Affine.rotation(30) @ Affine.scale(1e-4, -1e-4)
GRIDS = {
    "degrees": (4326, Affine(1e-4, 0, 15, 0, -1e-4, 48), 900, 800, 1e-8),
    "degrees, south": (4326, Affine(1e-3, 0, -60, 0, -1e-3, -30), 900, 80, 1e-8),
    "over the date line": (4326, Affine(1e-3, 0, 179.9, 0, -1e-3, 10), 30, 300, 1e-8),
    # the geodesic between two places of a parallel is no parallel
    "the whole Earth": (4326, Affine(0.25, 0, -180, 0, -0.25, 90), 720, 1440, 1e-4),
    "rotated degrees": (4326, ROTATED, 300, 300, 1e-7),
    "web map": (3857, Affine(10, 0, 1e6, 0, -10, 6e6), 500, 400, 1e-8),
    "polar": (3413, Affine(1000, 0, -2e6, 0, -1000, 2e6), 400, 300, 1e-4),
    "another datum": (4230, Affine(1e-3, 0, 9, 0, -1e-3, 45), 50, 60, 1e-4),
}


def geodesic_area(transform: Affine, crs: int, row: int, width: int) -> float:
    """Mean area of a row's pixels, m²."""
    to_lonlat = Transformer.from_crs(crs, 4326, always_xy=True)
    a, b, c, d, e, f = tuple(transform)[:6]
    cols = np.linspace(0, width, 500)
    cols, rows = np.append(cols, cols[::-1]), np.repeat([row, row + 1], 500)
    lon, lat = to_lonlat.transform(a * cols + b * rows + c, d * cols + e * rows + f)
    return abs(Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0]) / width


@pytest.mark.parametrize("grid", GRIDS)
def test_areas_on_the_ellipsoid_are_geodesic(grid: str) -> None:
    crs, transform, height, width, tolerance = GRIDS[grid]
    areas = pixel_areas(transform, crs, height=height, width=width)
    assert areas.method.startswith("on the WGS 84 ellipsoid")
    for row in (0, height // 2, height - 1):
        expected = geodesic_area(transform, crs, row, width)
        assert areas.of_rows(row, 1)[0] == pytest.approx(expected, rel=tolerance)
    assert areas.middle_m2 == areas.of_rows(height // 2, 1)[0]
    np.testing.assert_allclose(areas.of_rows(1, 20)[4:7], areas.of_rows(5, 3), rtol=1e-9)


def test_the_whole_earth_has_the_area_of_the_ellipsoid() -> None:
    areas = pixel_areas(Affine(1, 0, -180, 0, -1, 90), 4326, height=180, width=360)
    assert areas.of_rows(0, 180).sum() * 360 == pytest.approx(5.10065621724e14, rel=1e-10)


@pytest.mark.parametrize(
    ("crs", "transform", "expected"),
    [
        (32632, Affine(10, 0, 5e5, 0, -10, 5e6), 100),
        (2056, Affine(0.1, 0.02, 2.6e6, -0.01, -0.1, 1.2e6), 0.1 * 0.1 - 0.02 * 0.01),
        (2263, Affine(10, 0, 9e5, 0, -10, 2e5), 100 * (1200 / 3937) ** 2),  # US survey feet
    ],
    ids=["UTM", "sheared", "feet"],
)
def test_true_projections_are_taken_by_their_grid(crs, transform, expected) -> None:
    areas = pixel_areas(transform, crs, height=40, width=30)
    assert areas.method == "from the grid of the projected CRS"
    np.testing.assert_allclose(areas.of_rows(3, 2), [expected] * 2, rtol=1e-6)
    assert geodesic_area(transform, crs, 20, 30) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("crs", "transform"), [(None, Affine.identity()), (4326, None), (None, None)]
)
def test_without_a_crs_or_a_grid_nothing_is_known(crs, transform) -> None:
    assert pixel_areas(transform, crs, height=4, width=4) is None


def test_rows_that_reach_beyond_the_earth_have_no_area() -> None:
    areas = pixel_areas(Affine(1, 0, 0, 0, -1, 95), 4326, height=20, width=9)
    assert areas.of_rows(0, 5).tolist() == [0] * 5 and areas.of_rows(5, 1)[0] > 0
    seen_from_far = "+proj=ortho +lat_0=40 +lon_0=0"
    areas = pixel_areas(Affine(1e5, 0, 4e6, 0, -1e5, 9e6), seen_from_far, height=180, width=12)
    assert areas.of_rows(0, 5).tolist() == [0] * 5
    assert areas.of_rows(80, 20).min() > 1.2e10


@pytest.mark.parametrize("shift", [0, 7000], ids=["at a corner", "inside a pixel"])
def test_the_pole_may_lie_in_the_map(shift: int) -> None:
    transform = Affine(50_000, 0, -1.5e6 + shift, 0, -50_000, 1.5e6 + shift)
    areas = pixel_areas(transform, 3031, height=60, width=60)
    to_lonlat = Transformer.from_crs(3031, 4326, always_xy=True)
    cols, rows = np.meshgrid(np.arange(61), np.arange(61))
    lon, lat = to_lonlat.transform(*to_coordinates(transform, cols, rows))
    expected = np.zeros(60)
    for row in range(60):
        for col in range(60):
            corners = [row, row, row + 1, row + 1], [col, col + 1, col + 1, col]
            area = Geod(ellps="WGS84").polygon_area_perimeter(lon[corners], lat[corners])[0]
            expected[row] += abs(area) / 60
    np.testing.assert_allclose(areas.of_rows(0, 60), expected, rtol=2e-4)


def test_pixels_whose_centres_are_poles_are_half_on_the_earth() -> None:
    areas = pixel_areas(Affine(2, 0, -1, 0, -2, 91), 4326, height=91, width=180)
    rows = areas.of_rows(0, 91)
    assert rows.sum() * 180 == pytest.approx(5.10065621724e14, rel=1e-10)
    assert 0 < rows[0] < rows[1] / 3


def test_rows_that_end_beyond_the_earth_count_what_is_on_it() -> None:
    # a world map whose every row ends in space; its grid is no measure of area
    areas = pixel_areas(
        Affine(1e5, 0, -1.71e7, 0, -1e5, 8.7e6), "+proj=robin", height=174, width=342
    )
    assert areas.method.startswith("on the WGS 84 ellipsoid")
    found = areas.of_pixels(0, 174)
    assert found.mean() * 174 * 342 == pytest.approx(5.1007e14, rel=0.03)  # pieces at the ends
    middle_of_row = geodesic_area(Affine(1e5, 0, -5e4, 0, -1e5, 8.7e6), "+proj=robin", 40, 1)
    assert found[40, 32] == pytest.approx(middle_of_row, rel=2e-3)
    assert areas.of_rows(40, 1)[0] == pytest.approx(middle_of_row, rel=0.05)


def test_a_grid_is_taken_only_where_it_is_true_all_over_the_map() -> None:
    # true at 71 degrees south, in the middle of the map, and off by percents at either end
    transform = Affine(10_000, 0, -2e5, 0, -10_000, 3.1e6)
    areas = pixel_areas(transform, 3031, height=200, width=40)
    assert abs(areas.middle_m2 / 1e8 - 1) < 0.01
    assert areas.method.startswith("on the WGS 84 ellipsoid")
    expected = geodesic_area(transform, 3031, 0, 40)
    assert areas.of_rows(0, 1)[0] == pytest.approx(expected, rel=1e-4) != 1e8


def test_a_grid_squeezed_to_a_line_is_refused() -> None:
    with pytest.raises(ValueError, match="degenerate"):
        pixel_areas(Affine(1, 1, 0, 1, 1, 0), 4326, height=4, width=4)
