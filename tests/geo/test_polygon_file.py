"""Polygons and their classes from vector files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

from mmrs.errors import DataError
from mmrs.geo.polygon_file import read_polygons
from tests.fake_data import write_polygons
from tests.geo.test_rasterize import CLASSES, make_shapes


def test_numbers_are_ids_and_are_mapped_as_numbers_or_text(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "a.gpkg", make_shapes(), {"id": [3, 1, 2]}, "EPSG:32633")
    assert read_polygons(path, attribute="id").ids.tolist() == [3, 1, 2]
    for mapping in ({3: 0, 1: 5, 2: 6}, {"3": 0, "1": 5, "2": 6}):
        assert read_polygons(path, attribute="id", id_of=mapping).ids.tolist() == [0, 5, 6]


@pytest.mark.parametrize("wrong", [-1, 2**31, np.inf, np.nan, 0.5])
def test_a_number_that_is_no_id_is_told(tmp_path: Path, wrong: float) -> None:
    # -1 would pass for "in no polygon", and become the background
    path = write_polygons(tmp_path / "a.gpkg", make_shapes(), {"id": [3, wrong, 2]}, "EPSG:32633")
    with pytest.raises(DataError, match=r"a\.gpkg: attribute 'id' holds .* which is no class id"):
        read_polygons(path, attribute="id")


@pytest.mark.parametrize("stored", [[1, 2, 1], [1.0, 2.0, 1.0], ["1", "2", "1"]])
@pytest.mark.parametrize("mapping", [{1: 5, 2: 6}, {1.0: 5, 2.0: 6}, {"1": 5, "2": 6}])
def test_numbers_and_text_of_a_column_are_found_by_numbers_and_text(
    tmp_path: Path, stored: list, mapping: dict
) -> None:
    path = write_polygons(tmp_path / "a.gpkg", make_shapes(), {"id": stored}, "EPSG:32633")
    assert read_polygons(path, attribute="id", id_of=mapping).ids.tolist() == [5, 6, 5]


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


def test_metres_are_no_degrees(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    ring = [[500_000, 5e6], [500_100, 5e6], [500_100, 5.1e6], [500_000, 5e6]]
    square = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": square}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(DataError, match=r"\(500000, 5000000\) to .* are no degrees.*EPSG:4326"):
        read_polygons(path)
    # around the antimeridian, longitudes beyond 180 are usual
    feature["geometry"]["coordinates"] = [[[179, 1], [181, 1], [181, 2], [179, 1]]]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert len(read_polygons(path).geometries) == 1
