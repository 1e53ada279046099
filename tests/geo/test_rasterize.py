"""Polygons burnt into windows."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.warp import transform as transform_points

from mmrs.errors import DataError
from mmrs.geo.polygon_file import read_polygons
from mmrs.geo.raster import Raster, to_coordinates
from mmrs.geo.rasterize import NO_POLYGON, area_mask
from mmrs.geo.windows import Window
from tests.fake_data import write_polygons
from tests.geo.test_raster import write_tiff

GRID = Affine(2, 0, 500_000, 0, -2, 5_000_000)
CLASSES = ["field", "water", "field"]


def make_shapes() -> list[shapely.Polygon]:
    """Three triangles and blobs on the grid, the third over the second."""
    corners = [
        [(3, 2), (20, 4), (9, 18)],
        [(15, 8), (30, 9), (29, 25), (14, 20)],
        [(20, 12), (26, 12), (23, 22)],
    ]
    return [
        shapely.Polygon([to_coordinates(GRID, x + 0.137, y + 0.071) for x, y in points])
        for points in corners
    ]


def centres_inside(shapes: list, window: Window) -> np.ndarray:
    """Index of the last shape that covers each pixel's centre, by asking for each; -1 for none."""
    found = np.full((window.height, window.width), -1)
    for row in range(window.height):
        for col in range(window.width):
            x, y = to_coordinates(GRID, window.col + col + 0.5, window.row + row + 0.5)
            for index, shape in enumerate(shapes):
                if shape.contains(shapely.Point(x, y)):
                    found[row, col] = index
    return found


def make_image(folder: Path, grid: Affine = GRID, crs: str = "EPSG:32633") -> Path:
    pixels = np.ones((32, 40, 1), dtype=np.uint8)
    return write_tiff(folder / "image.tif", pixels, crs=crs, transform=grid)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_windows_of_any_format_hold_what_covers_their_centres(tmp_path: Path, suffix: str) -> None:
    shapes = make_shapes()
    crs = "EPSG:32633"
    if suffix == ".geojson":  # which counts in degrees
        crs = "EPSG:4326"
        source = shapes
        shapes = [
            shapely.transform(
                s,
                lambda p: np.column_stack(
                    transform_points("EPSG:32633", "EPSG:4326", p[:, 0], p[:, 1])
                ),
            )
            for s in source
        ]
    path = write_polygons(tmp_path / f"é 中{suffix}", shapes, {"kind": CLASSES}, crs)
    polygons = read_polygons(path, attribute="kind", id_of={"field": 4, "water": 7})
    with Raster(make_image(tmp_path)) as image:
        polygons = polygons.near(image)
    index = centres_inside(make_shapes(), Window(0, 0, 32, 40))
    expected = np.array([4, 7, 4, NO_POLYGON])[index]
    for window in (Window(0, 0, 32, 40), Window(5, 11, 16, 16), Window(28, 33, 4, 4)):
        np.testing.assert_array_equal(polygons.burn(window, GRID), expected[window.slices])
    assert set(np.unique(expected)) == {4, 7, NO_POLYGON}


def test_all_touched_takes_more_and_never_less(tmp_path: Path) -> None:
    polygons = read_polygons(write_polygons(tmp_path / "a.gpkg", make_shapes(), {}, "EPSG:32633"))
    window = Window(0, 0, 32, 40)
    less = polygons.burn(window, GRID) == 1
    more = polygons.burn(window, GRID, all_touched=True) == 1
    assert (more | ~less).all() and more.sum() > less.sum()
    np.testing.assert_array_equal(area_mask(polygons, window, GRID), less)


def test_pickled_polygons_burn_the_same(tmp_path: Path) -> None:
    polygons = read_polygons(write_polygons(tmp_path / "a.gpkg", make_shapes(), {}, "EPSG:32633"))
    copy = pickle.loads(pickle.dumps(polygons))
    window = Window(0, 0, 32, 40)
    np.testing.assert_array_equal(copy.burn(window, GRID), polygons.burn(window, GRID))
    assert copy.crs == polygons.crs


def box_in_degrees(west: float, south: float, east: float, north: float, grid: Affine, crs: str):
    """Which pixels of the image lie in a box of degrees, by asking for each centre."""
    cols, rows = np.meshgrid(np.arange(40) + 0.5, np.arange(32) + 0.5)
    xs, ys = to_coordinates(grid, cols.ravel(), rows.ravel())
    lon, lat = (np.array(v) for v in transform_points(crs, "EPSG:4326", xs, ys))
    return ((west < lon) & (lon < east) & (south < lat) & (lat < north)).reshape(32, 40)


def test_long_edges_of_another_crs_are_bent(tmp_path: Path) -> None:
    # a parallel of 4 degrees leaves the straight line between its ends by 5 km at this latitude
    grid = Affine(2000, 0, 460_000, 0, -2000, 5_030_000)
    path = tmp_path / "a.geojson"
    write_polygons(path, [shapely.box(13, 45, 17, 60)], {"kind": [3]}, "EPSG:4326")
    with Raster(make_image(tmp_path, grid)) as image:
        polygons = read_polygons(path, attribute="kind").near(image)
    burnt = polygons.burn(Window(0, 0, 32, 40), grid)
    inside = box_in_degrees(13, 45, 17, 60, grid, "EPSG:32633")
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(burnt == 3, inside)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:3035"])
def test_polygons_of_the_whole_world_reach_an_image_of_any_projection(
    tmp_path: Path, crs: str
) -> None:
    # UTM folds the far side of the Earth over itself, and fails for places between
    x, y = transform_points("EPSG:4326", crs, [15], [45])
    grid = Affine(1000, 0, x[0] - 20_000, 0, -1000, y[0] + 16_000)
    world = [shapely.box(-180, -90, 180, 90), shapely.box(15, -90, 180, 90)]
    world += [shapely.box(lon, 0, lon + 3, 3) for lon in range(-180, 180, 15)]
    twisted = shapely.Polygon([(-170, 44.9), (170, 45.1), (170, 44.9), (-170, 45.1)])
    kinds = [1, 2, *[9] * (len(world) - 2), 3]
    path = write_polygons(tmp_path / "a.gpkg", [*world, twisted], {"kind": kinds}, "EPSG:4326")
    with Raster(make_image(tmp_path, grid, crs)) as image:
        burnt = read_polygons(path, attribute="kind").near(image).burn(Window(0, 0, 32, 40), grid)
    east = box_in_degrees(15, -90, 180, 90, grid, crs)
    assert 0 < east.sum() < east.size and (burnt == 3).any()
    np.testing.assert_array_equal(burnt[burnt != 3], np.where(east, 2, 1)[burnt != 3])


def test_a_crs_that_cannot_hold_the_image_is_told(tmp_path: Path) -> None:
    # metres declared as degrees
    image = write_tiff(
        tmp_path / "b.tif", np.ones((4, 4, 1), np.uint8), crs="EPSG:4269", transform=GRID
    )
    stored = write_polygons(tmp_path / "c.gpkg", make_shapes(), {}, "EPSG:32633")
    with Raster(image) as raster, pytest.raises(DataError, match=r"b\.tif: the polygons of .*c\."):
        read_polygons(stored).near(raster)
