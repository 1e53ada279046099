"""Metres per pixel: against pyproj's geodesics, on the CRSs that imagery comes in."""

from __future__ import annotations

import math

import pytest
from affine import Affine

from mmrs.geo.ground_sampling import GroundSampling, ground_sampling

pyproj = pytest.importorskip("pyproj")


def geodesic(transform: Affine, crs: str, height: int, width: int) -> tuple[float, float]:
    """The same distances by PROJ's transformation and Karney's geodesics."""
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    col, row = width / 2, height / 2
    sides = []
    for first, second in (
        ((col - 0.5, row), (col + 0.5, row)),
        ((col, row - 0.5), (col, row + 0.5)),
    ):
        lon1, lat1 = to_degrees.transform(*(transform @ first))
        lon2, lat2 = to_degrees.transform(*(transform @ second))
        sides.append(geod.inv(lon1, lat1, lon2, lat2)[2])
    return sides[0], sides[1]


GRIDS = {
    "degrees at the equator": ("EPSG:4326", Affine(1e-4, 0, 36.8, 0, -1e-4, 0.01)),
    "degrees at 60 north": ("EPSG:4326", Affine(1e-4, 0, 10.0, 0, -1e-4, 60.0)),
    "degrees, rotated": (
        "EPSG:4326",
        Affine.translation(10, 45) @ Affine.rotation(30) @ Affine.scale(2e-4, -1e-4),
    ),
    "over the date line": ("EPSG:4326", Affine(1e-2, 0, 179.99, 0, -1e-2, 50.0)),
    "another datum, in degrees": ("EPSG:4269", Affine(5e-5, 0, -99.1, 0, -5e-5, 47.0)),
    "web Mercator at 60 north": ("EPSG:3857", Affine(0.6, 0, 1_113_194.9, 0, -0.6, 8_399_737.9)),
    "web Mercator, rotated": (
        "EPSG:3857",
        Affine.translation(1.1e6, 6.6e6) @ Affine.rotation(20) @ Affine.scale(2.0, -3.0),
    ),
    "an equal-area map of the world": ("EPSG:6933", Affine(100, 0, 1e6, 0, -100, 6e6)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_are_as_long_as_the_geodesics(name: str) -> None:
    crs, transform = GRIDS[name]
    found = ground_sampling(transform, crs, height=40, width=30)
    assert found == pytest.approx(geodesic(transform, crs, 40, 30), rel=1e-6)


@pytest.mark.parametrize(
    ("crs", "transform", "expected"),
    [
        ("EPSG:32633", Affine(0.3, 0, 5e5, 0, -0.3, 5.4e6), (0.3, 0.3)),
        ("EPSG:32633", Affine(10, 0, 2e5, 0, -20, 1e6), (10, 20)),
        ("EPSG:2056", Affine(0.1, 0, 2.6e6, 0, -0.1, 1.2e6), (0.1, 0.1)),
        # a state plane in US survey feet
        ("EPSG:2263", Affine(1, 0, 9.8e5, 0, -1, 2e5), (0.3048006096, 0.3048006096)),
        (
            "EPSG:32633",
            Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(2, -4),
            (2, 4),
        ),
    ],
)
def test_a_true_projection_keeps_its_round_numbers(crs, transform, expected) -> None:
    found = ground_sampling(transform, crs, height=40, width=30)
    assert found == pytest.approx(expected, rel=1e-9)
    # and they are true to the rule's 2 %
    assert found == pytest.approx(geodesic(transform, crs, 40, 30), rel=0.02)


def test_what_lies_nowhere_has_none() -> None:
    grid = Affine(1, 0, 0, 0, -1, 0)
    assert ground_sampling(None, "EPSG:4326", height=4, width=4) is None
    assert ground_sampling(grid, None, height=4, width=4) is None
    local = 'LOCAL_CS["a photo",UNIT["metre",1]]'
    assert ground_sampling(grid, local, height=4, width=4) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0, "width": 4}, "height and width must be >= 1, got 0 and 4"),
        ({"height": 4, "width": 4, "transform": Affine(1, 1, 0, 1, 1, 0)}, "degenerate"),
    ],
)
def test_no_raster_is_refused(options: dict, message: str) -> None:
    transform = options.pop("transform", Affine(1, 0, 0, 0, -1, 0))
    with pytest.raises(ValueError, match=message):
        ground_sampling(transform, "EPSG:32633", **options)


def test_two_sides_are_told_where_they_differ() -> None:
    assert str(GroundSampling(0.3, 0.3)) == "0.3 m"
    assert str(GroundSampling(10, 20)) == "10 x 20 m"
    assert GroundSampling(10, 20).mean_m == pytest.approx(math.sqrt(200))
