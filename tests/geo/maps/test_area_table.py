from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from mmrs.errors import LabelError, OutputError
from mmrs.geo.georeference import to_coordinates
from mmrs.geo.maps.area_table import AreaTable
from mmrs.geo.pixel_area import pixel_areas
from mmrs.geo.polygons.vectorize import PolygonStream
from tests.geo.class_maps import label_maps, pieces

CLASSES = ("a", "b", "c", "é 中")
UTM = Affine(2, 0, 5e5, 0, -2, 5e6)


def degrees(height: int, width: int):
    return pixel_areas(Affine(0.5, 0, 15, 0, -0.5, 60), 4326, height=height, width=width)


@given(label_maps(), st.lists(st.integers(1, 9), min_size=1))
@settings(max_examples=40, deadline=None)
def test_pieces_count_as_the_whole_map(labels, heights) -> None:
    areas = degrees(*labels.shape)
    table = AreaTable(CLASSES, areas=areas)
    for piece in pieces(labels, heights):
        table.push(piece)
    of_pixel = np.repeat(areas.of_rows(0, len(labels))[:, None], labels.shape[1], axis=1)
    for label in range(4):
        assert table.pixels[label] == (labels == label).sum()
        assert table.area_m2[label] == pytest.approx(of_pixel[labels == label].sum(), rel=1e-9)
    assert table.nodata_pixels == (labels == 255).sum()
    assert table.nodata_m2 == pytest.approx(of_pixel[labels == 255].sum(), rel=1e-9)
    if (labels != 255).any():
        assert table.shares.sum() == pytest.approx(1)


def test_areas_of_a_polar_map_are_geodesic_class_by_class() -> None:
    # the pixels of a row lie from 62 to 88 degrees north: their areas differ by 11 %
    transform = Affine(50_000, 0, 1e5, 0, -50_000, 5e5)
    labels = np.repeat(np.arange(4, dtype=np.uint8), 15)[None].repeat(20, axis=0)
    areas = pixel_areas(transform, 3413, height=20, width=60)
    table = AreaTable(CLASSES, areas=areas)
    stream = PolygonStream(60)
    found = np.zeros(4)
    for row in range(0, 20, 8):
        rows = labels[row : row + 8]
        table.push(rows)
        for polygon in stream.push(rows, row_area_m2=areas.of_pixels(row, len(rows))):
            found[polygon.label] += polygon.area_m2
    for polygon in stream.finish():
        found[polygon.label] += polygon.area_m2
    to_lonlat = Transformer.from_crs(3413, 4326, always_xy=True)
    cols, rows = np.meshgrid(np.arange(61), np.arange(21))
    lon, lat = to_lonlat.transform(*to_coordinates(transform, cols, rows))
    expected = np.zeros(4)
    for row, col in np.ndindex(labels.shape):
        corners = [row, row, row + 1, row + 1], [col, col + 1, col + 1, col]
        area = Geod(ellps="WGS84").polygon_area_perimeter(lon[corners], lat[corners])[0]
        expected[labels[row, col]] += abs(area)
    np.testing.assert_allclose(table.area_m2, expected, rtol=1e-3)
    np.testing.assert_allclose(found, table.area_m2, rtol=1e-12)
    assert np.ptp(expected) > 0.08 * expected.max()


def filled() -> AreaTable:
    table = AreaTable(("a", "b"), areas=pixel_areas(UTM, 32632, height=2, width=5))
    table.push(np.array([[0, 0, 0, 1, 255], [1, 1, 1, 1, 255]], dtype=np.uint8))
    return table


def test_the_csv_holds_every_class_nodata_and_the_sum(tmp_path: Path) -> None:
    filled().write_csv(tmp_path / "areas.csv")
    with (tmp_path / "areas.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["class_id"], r["class"], r["pixels"], float(r["area_m2"])) for r in rows] == [
        ("0", "a", "3", 12.0),
        ("1", "b", "5", 20.0),
        ("255", "no data", "2", 8.0),
        ("", "all classes", "8", 32.0),
    ]
    assert float(rows[1]["area_ha"]) == 20e-4 and float(rows[1]["area_km2"]) == 20e-6
    assert [r["share_of_valid"] for r in rows] == ["0.375", "0.625", "", ""]
    assert os.listdir(tmp_path) == ["areas.csv"]


def test_the_printed_table_tells_the_method() -> None:
    text = filled().text()
    assert "| b           |      5 | 20.0 | 0.0020 | 0.000020 | 62.50 % |" in text
    assert text.endswith("from the grid of the projected CRS; shares are of the area with a class")


def test_without_a_scale_there_are_pixels_only() -> None:
    table = AreaTable(CLASSES)
    table.push(np.array([[0, 3, 3, 255]], dtype=np.uint8))
    assert table.area_m2 is None and table.nodata_m2 is None
    np.testing.assert_allclose(table.shares, [1 / 3, 0, 0, 2 / 3])
    assert "m²" not in table.text() and "no CRS or grid" in table.text()
    assert table.csv_text().splitlines()[4] == "3,é 中,2,,,,0.666666666667"


def test_a_map_without_data_has_no_shares() -> None:
    table = AreaTable(CLASSES)
    table.push(np.full((2, 2), 255, dtype=np.uint8))
    assert np.isnan(table.shares).all() and "nan" not in table.text() + table.csv_text()


def test_a_label_without_a_name_is_refused() -> None:
    with pytest.raises(LabelError, match="label 7 occurs, but there are 4 classes"):
        AreaTable(CLASSES).push(np.array([[0, 7]], dtype=np.uint8))


def test_a_table_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "areas.csv"
    path.write_text("old")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"areas\.csv: cannot be written \(No space left"):
        filled().write_csv(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["areas.csv"]
