"""Class maps on disk into polygons and areas."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from mmrs.apis.vectorize import vectorize
from mmrs.errors import ConfigError, DataError, LabelError, OutputError
from mmrs.geo.georeference import Georeference, allow_missing_georeference
from mmrs.geo.maps.class_map import write_class_map
from mmrs.geo.polygons.vector_options import VectorOptions
from tests.geo.class_maps import NODATA, blobs, burn, regions
from tests.geo.vector_features import read

CLASSES = ("water", "é 中", "c")
PALETTE = [(0, 0, 255), (10, 20, 30), (9, 9, 9)]
UTM = Georeference(CRS.from_epsg(32632), Affine(2, 0, 500_000, 0, -2, 5_000_000))


def make_map(path: Path, *, height: int = 40, reference: Georeference | None = UTM) -> np.ndarray:
    labels = blobs(height, 30, 3, 0)
    with write_class_map(
        path, height=height, width=30, classes=CLASSES, palette=PALETTE, georeference=reference
    ) as writer:
        writer.write_rows(labels)
    return labels


def make_raster(path: Path, values: np.ndarray, **profile) -> None:
    with allow_missing_georeference():
        with rasterio.open(
            path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1,
            dtype=values.dtype, **profile,
        ) as dataset:  # fmt: skip
            dataset.write(values, 1)


@pytest.mark.parametrize("rows", [1, 7, 256])
def test_polygons_burn_back_to_the_map_on_disk(tmp_path: Path, monkeypatch, rows: int) -> None:
    monkeypatch.setattr("mmrs.apis.vectorize.ROWS_AT_ONCE", rows)
    labels = make_map(tmp_path / "map.tif")
    calls = []
    done = vectorize(
        tmp_path / "map.tif", tmp_path / "map.gpkg", progress=lambda *told: calls.append(told)
    )
    meta, polygons, columns = read(tmp_path / "map.gpkg")
    back = shapely.transform(polygons, lambda p: (p - [500_000, 5_000_000]) / [2, -2])
    np.testing.assert_array_equal(burn(back, columns["class_id"], labels.shape), labels)
    assert meta["crs"] == "EPSG:32632" and set(columns["class"]) == set(CLASSES)
    assert columns["area_m2"].sum() == 4 * (labels != NODATA).sum() == done.vectors.area_m2
    assert done.areas.pixels.tolist() == [(labels == i).sum() for i in range(3)]
    assert calls[-1] == (40, 40) and len(calls) == -(-40 // rows)


def test_areas_are_of_the_map_before_small_regions_go(tmp_path: Path) -> None:
    labels = make_map(tmp_path / "map.tif")
    done = vectorize(
        tmp_path / "map.tif",
        tmp_path / "map.parquet",
        options=VectorOptions(min_area_m2=100, simplify_m=2),
        areas=tmp_path / "areas.csv",
    )
    with (tmp_path / "areas.csv").open(encoding="utf-8") as file:
        pixels = {row["class"]: int(row["pixels"]) for row in csv.DictReader(file)}
    assert pixels["water"] == (labels == 0).sum() and pixels["no data"] == (labels == NODATA).sum()
    assert done.vectors.moved_px > 0
    assert read(tmp_path / "map.parquet")[2]["area_m2"].min() >= 100
    assert "small regions" in done.text() and "| water" in done.text()


def test_confidence_is_read_by_its_scale(tmp_path: Path) -> None:
    labels = make_map(tmp_path / "map.tif")
    codes = np.random.default_rng(0).integers(0, 251, labels.shape, dtype=np.uint8)
    codes[labels == NODATA] = 255
    make_raster(tmp_path / "confidence.tif", codes, nodata=255)
    with allow_missing_georeference(), rasterio.open(tmp_path / "confidence.tif", "r+") as dataset:
        dataset.scales = (0.004,)
    vectorize(tmp_path / "map.tif", tmp_path / "map.gpkg", confidence=tmp_path / "confidence.tif")
    numbers, count = regions(labels)
    expected = sorted(codes[numbers == n].mean() * 0.004 for n in range(1, count + 1))
    found = sorted(read(tmp_path / "map.gpkg")[2]["mean_confidence"])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_map_with_another_nodata_and_no_names(tmp_path: Path, caplog) -> None:
    values = np.array([[9, 1, 1], [9, 0, 255]], dtype=np.int16)
    make_raster(tmp_path / "map.tif", values, nodata=9)
    done = vectorize(tmp_path / "map.tif", tmp_path / "map.gpkg", classes=["a", "b"])
    assert (done.vectors.features, done.vectors.nodata_px) == (2, 3)
    assert "has no CRS or grid, so its polygons are in pixels" in caplog.text


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (np.zeros((2, 2), np.uint8), {}, DataError, "it does not name its classes"),
        (np.zeros((2, 2), np.float32), {}, DataError, "1 bands of float32, but a class map"),
        (np.full((2, 2), 3, np.uint8), {"classes": ["a"]}, LabelError, "label 3 occurs, but"),
        (np.full((2, 2), 300, np.int16), {"classes": ["a"]}, LabelError, "value 300 is no class"),
        (np.full((2, 2), -1, np.int16), {"classes": ["a"]}, LabelError, "value -1 is no class"),
        (np.zeros((2, 2), np.uint8), {"classes": []}, ConfigError, "0 classes"),
        (
            np.zeros((2, 2), np.uint8),
            {"classes": ["a"], "options": VectorOptions(simplify_m=1)},
            ConfigError,
            "pixels have a known size",
        ),
    ],
)
def test_what_is_no_class_map_is_told(tmp_path, values, options, error, message) -> None:
    make_raster(tmp_path / "map.tif", values)
    with pytest.raises(error, match=message):
        vectorize(tmp_path / "map.tif", tmp_path / "map.gpkg", **options)
    assert os.listdir(tmp_path) == ["map.tif"]


def test_inputs_are_never_overwritten(tmp_path: Path) -> None:
    make_map(tmp_path / "map.tif")
    before = (tmp_path / "map.tif").read_bytes()
    with pytest.raises(OutputError, match="would overwrite another file of this run"):
        vectorize(tmp_path / "map.tif", tmp_path / "map.tif")
    with pytest.raises(OutputError, match="would overwrite another file of this run"):
        vectorize(tmp_path / "map.tif", tmp_path / "a.gpkg", areas=tmp_path / "a.gpkg")
    with pytest.raises(OutputError, match=r"areas\.txt: the table of areas is a CSV"):
        vectorize(tmp_path / "map.tif", tmp_path / "a.gpkg", areas=tmp_path / "areas.txt")
    assert (tmp_path / "map.tif").read_bytes() == before


def test_confidence_of_another_map_is_refused(tmp_path: Path) -> None:
    make_map(tmp_path / "map.tif")
    make_raster(tmp_path / "other.tif", np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(DataError, match=r"4 x 4 pixels, but .* has 40 x 30"):
        vectorize(tmp_path / "map.tif", tmp_path / "a.gpkg", confidence=tmp_path / "other.tif")


def test_confidence_of_another_place_is_refused(tmp_path: Path) -> None:
    make_map(tmp_path / "map.tif")
    away = Affine(2, 0, 500_060, 0, -2, 5_000_000)
    scores = np.zeros((40, 30), dtype=np.uint8)
    for name, crs, transform in (("a", UTM.crs, away), ("b", CRS.from_epsg(32633), UTM.transform)):
        make_raster(tmp_path / f"{name}.tif", scores, crs=crs, transform=transform)
        with pytest.raises(DataError, match=r"lies elsewhere than .*map\.tif"):
            vectorize(
                tmp_path / "map.tif", tmp_path / "m.gpkg", confidence=tmp_path / f"{name}.tif"
            )
    make_raster(tmp_path / "c.tif", scores, crs=UTM.crs, transform=UTM.transform)
    vectorize(tmp_path / "map.tif", tmp_path / "m.gpkg", confidence=tmp_path / "c.tif")


def test_a_table_that_could_not_be_written_is_told_before_polygons_are(tmp_path: Path) -> None:
    make_map(tmp_path / "map.tif")
    (tmp_path / "areas.csv").mkdir()
    with pytest.raises(OutputError, match=r"areas\.csv: is a folder"):
        vectorize(tmp_path / "map.tif", tmp_path / "a.gpkg", areas=tmp_path / "areas.csv")
    assert not (tmp_path / "a.gpkg").exists()
