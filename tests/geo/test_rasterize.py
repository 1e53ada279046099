"""Polygons burnt into windows."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from mmrs.errors import DataError
from mmrs.geo.raster import to_coordinates
from mmrs.geo.rasterize import NO_POLYGON, area_mask, read_polygons
from mmrs.geo.windows import Window
from tests.fake_data import write_polygons

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
    polygons = polygons.to_crs(CRS.from_epsg(32633))
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


def test_numbers_are_ids_and_are_mapped_as_numbers_or_text(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "a.gpkg", make_shapes(), {"id": [3, 1, 2]}, "EPSG:32633")
    assert read_polygons(path, attribute="id").ids.tolist() == [3, 1, 2]
    for mapping in ({3: 0, 1: 5, 2: 6}, {"3": 0, "1": 5, "2": 6}):
        assert read_polygons(path, attribute="id", id_of=mapping).ids.tolist() == [0, 5, 6]


def test_pickled_polygons_burn_the_same(tmp_path: Path) -> None:
    polygons = read_polygons(write_polygons(tmp_path / "a.gpkg", make_shapes(), {}, "EPSG:32633"))
    copy = pickle.loads(pickle.dumps(polygons))
    window = Window(0, 0, 32, 40)
    np.testing.assert_array_equal(copy.burn(window, GRID), polygons.burn(window, GRID))
    assert copy.crs == polygons.crs


def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    shapes = make_shapes()
    good = write_polygons(tmp_path / "a.gpkg", shapes, {"kind": CLASSES}, "EPSG:32633")
    bare = write_polygons(tmp_path / "b.gpkg", shapes, {}, None)
    lines = write_polygons(
        tmp_path / "c.gpkg", [shapely.LineString([(0, 0), (1, 1)])], {}, "EPSG:32633"
    )
    vrt = tmp_path / "d.gpkg"
    vrt.write_text("<OGRVRTDataSource><OGRVRTLayer name='a'/></OGRVRTDataSource>")
    text = tmp_path / "e.geojson"
    text.write_text("{ nothing")
    cut = tmp_path / "f.gpkg"
    cut.write_bytes(good.read_bytes()[:3000])
    for path, options, message in (
        (tmp_path / "missing.gpkg", {}, "no such file"),
        (bare, {}, "polygons without a CRS"),
        (lines, {}, "1 of 1 shapes are no polygons, the first is a LineString"),
        (vrt, {}, "not a file of polygons that is opened here"),
        (text, {}, "polygons cannot be read"),
        (cut, {}, "polygons cannot be read"),
        (good, {"attribute": "class"}, "no attribute 'class'; there are kind"),
        (good, {"attribute": "kind"}, "holds 'field', which is no class id"),
        (good, {"attribute": "kind", "id_of": {"field": 0}}, "1 values without a class.*'water'"),
        (good, {"layer": "other"}, "polygons cannot be read"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            read_polygons(path, **options)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_geojson_that_names_a_server_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"url": "http://127.0.0.1:9/a.json", "type": "nothing"}))
    with pytest.raises(DataError, match="polygons cannot be read"):
        read_polygons(path)


def test_pyogrio_reads_what_the_tests_write(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "a.gpkg", make_shapes(), {"kind": CLASSES}, "EPSG:32633")
    assert pyogrio.read_info(path)["features"] == 3
