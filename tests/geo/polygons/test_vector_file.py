"""Vector files of every format: what is read by others is what was written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from mmrs.errors import ConfigError, EnvironmentError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.polygons.vector_file import (
    FORMATS,
    VectorFile,
    check_classes,
    check_vector_target,
    vector_file,
)
from tests.geo.vector_features import CLASSES, batch_of, read

UTM = CRS.from_epsg(32632)
GRID = Affine(2, 0, 500_000, 0, -2, 5_000_000)
SUFFIXES = list(FORMATS)


def write(path: Path, batches, *, crs=UTM, with_m2=True, with_confidence=True):
    with (
        atomic_path(path) as temporary,
        vector_file(
            temporary,
            path,
            classes=CLASSES,
            crs=crs,
            with_m2=with_m2,
            with_confidence=with_confidence,
        ) as file,
    ):
        for batch in batches:
            file.write(batch)
    return file


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_polygons_and_attributes_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"é map{suffix}"
    batches = [batch_of(seed, transform=GRID) for seed in range(3)]
    file = write(path, batches)
    _, polygons, columns = read(path)
    expected = np.concatenate([b.polygons for b in batches])
    assert len(polygons) == file.features == len(expected)
    assert list(columns) == ["class_id", "class", "area_m2", "mean_confidence"]
    labels = np.concatenate([b.labels for b in batches])
    assert columns["class_id"].tolist() == labels.tolist()
    assert columns["class"].tolist() == [CLASSES[i] for i in labels]
    np.testing.assert_array_equal(columns["area_m2"], np.concatenate([b.area_m2 for b in batches]))
    np.testing.assert_array_equal(
        columns["mean_confidence"], np.concatenate([b.confidence for b in batches])
    )
    if suffix != ".geojson":  # which is in longitude and latitude
        assert shapely.equals(polygons, expected).all()
    assert file.points == shapely.get_num_coordinates(expected).sum()
    assert file.area_px == sum(b.area_px.sum() for b in batches)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_small_tables_hold_the_same_as_one(tmp_path: Path, monkeypatch, suffix: str) -> None:
    batches = [batch_of(seed, transform=GRID) for seed in range(3)]
    write(tmp_path / f"one{suffix}", batches)
    monkeypatch.setattr("mmrs.geo.polygons.vector_file.BATCH_FEATURES", 4)
    monkeypatch.setattr("mmrs.geo.polygons.vector_geopackage.READ_AT_ONCE", 3)
    write(tmp_path / f"many{suffix}", batches)
    (_, one, first), (_, many, second) = (read(tmp_path / f"{n}{suffix}") for n in ("one", "many"))
    assert shapely.equals(one, many).all()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(("name", "limit"), [("BATCH_FEATURES", 4), ("BATCH_POINTS", 60)])
def test_polygons_wait_no_longer_than_until_a_table_is_full(monkeypatch, name, limit) -> None:
    monkeypatch.setattr(f"mmrs.geo.polygons.vector_file.{name}", limit)
    written = []

    class Writer:
        def write(self, polygons, columns) -> None:
            written.append(len(polygons))

    file = VectorFile(Writer(), CLASSES, with_m2=True, with_confidence=True)
    batch = batch_of()
    file.write(batch)
    assert sum(written) == len(batch) > limit / 10
    assert name == "BATCH_POINTS" or max(written) <= limit


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_map_without_polygons_is_a_file_without_features(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    assert write(path, []).features == 0
    _, polygons, columns = read(path)
    assert len(polygons) == 0
    if suffix != ".geojson":  # which has no columns but those of its features
        assert list(columns) == ["class_id", "class", "area_m2", "mean_confidence"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_are_told_where_metres_are_not_known(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    write(path, [batch_of()], with_m2=False, with_confidence=False)
    columns = read(path)[2]
    assert list(columns) == ["class_id", "class", "area_px"]
    assert columns["area_px"].tolist() == batch_of().area_px.tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_confidence_that_is_not_known_is_missing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    batch = batch_of(transform=GRID)
    batch.confidence[1] = np.nan
    write(path, [batch])
    found = read(path)[2]["mean_confidence"].astype(float)
    assert np.flatnonzero(np.isnan(found)).tolist() == [1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_half_way_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="boom"), atomic_path(path) as temporary:
        with vector_file(
            temporary, path, classes=CLASSES, crs=UTM, with_m2=True, with_confidence=True
        ) as file:
            file.write(batch_of(transform=GRID))
            file.flush()
            Path(f"{temporary}-journal").write_text("")
            raise RuntimeError("boom")
    assert path.read_text() == "old" and os.listdir(tmp_path) == [path.name]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.find(np.float64(batch_of(transform=GRID).area_m2[2]).tobytes())
    at = at if at >= 0 else data.find(np.float64(batch_of().area_m2[2]).tobytes()[::-1])
    at = at if at >= 0 else len(data) // 2
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, change])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_not_what_was_written_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, damage
) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_text("old")
    writer = FORMATS[suffix]
    close = writer.close

    def close_and_damage(self) -> None:
        close(self)
        damage(next(tmp_path.glob(f".*part{suffix}")))

    monkeypatch.setattr(writer, "close", close_and_damage)
    with pytest.raises(OutputError, match=rf"map\{suffix}: (cannot be read|reads) back"):
        write(path, [batch_of(transform=GRID)])
    assert path.read_text() == "old" and os.listdir(tmp_path) == [path.name]


def test_what_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"map\.shp: polygons are not written to \.shp"):
        check_vector_target(tmp_path / "map.shp", crs=UTM)
    with pytest.raises(OutputError, match="not written to a file without a suffix"):
        check_vector_target(tmp_path / "map", crs=UTM)
    with pytest.raises(OutputError, match="GeoJSON holds longitude and latitude"):
        check_vector_target(tmp_path / "map.geojson", crs=None)
    check_vector_target(tmp_path / "MAP.GPKG", crs=None)


def test_without_pyarrow_the_mend_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(EnvironmentError, match=r"needs pyarrow.*Fix: pip install pyarrow"):
        check_vector_target(tmp_path / "map.parquet", crs=UTM)
    write(tmp_path / "map.gpkg", [batch_of(transform=GRID)])


def test_names_of_classes_can_be_told_apart() -> None:
    check_classes(CLASSES)
    with pytest.raises(ConfigError, match="class 'a' occurs twice"):
        check_classes(["a", "b", "a"])
    with pytest.raises(ConfigError, match="0 classes"):
        check_classes([])
    for name in ("a\0b", "a\udcff"):
        with pytest.raises(ConfigError, match="is no text that a file can hold"):
            check_classes(["a", name])
