"""Pixels of each class in windows, and windows drawn by them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmrs.geo.frequency_index import (
    FrequencyIndex,
    build_frequency_index,
    cached_frequency_index,
    fingerprint,
)
from mmrs.geo.windows import Window
from tests.geo.test_raster import write_tiff

SAMPLES = [
    (0, Window(0, 0, 2, 3), np.array([[0, 0, 1], [255, 255, 0]], np.uint8)),
    (0, Window(0, 3, 2, 3), np.array([[0, 0, 0], [0, 0, 0]], np.uint8)),
    (1, Window(0, 0, 2, 3), np.array([[2, 2, 0], [2, 1, 1]], np.uint8)),
]


def test_counts_are_those_of_each_window() -> None:
    index = build_frequency_index(SAMPLES, 4)
    assert index.counts.tolist() == [[3, 1, 0, 0], [6, 0, 0, 0], [1, 2, 3, 0]]
    assert index.totals.tolist() == [10, 3, 3, 0]
    # class 2 is in raster 1 only, which has 6 labelled pixels; raster 0 has 10
    assert index.in_reach.tolist() == [16, 16, 6, 0]


def test_classes_are_drawn_alike_and_windows_by_their_pixels() -> None:
    index = build_frequency_index(SAMPLES, 4)
    rng = np.random.default_rng(0)
    drawn = [index.draw(rng) for _ in range(3000)]
    share = [sum(d == (s, w) for d in drawn) / len(drawn) for s, w, _ in SAMPLES]
    expected = np.mean([[0.3, 0.6, 0.1], [1 / 3, 0, 2 / 3], [0, 0, 1]], axis=0)
    # three deviations of a share of 3000 draws
    np.testing.assert_allclose(share, expected, atol=3 * 0.5 / np.sqrt(3000))


def test_an_index_without_classes_draws_nothing() -> None:
    index = build_frequency_index([(0, Window(0, 0, 1, 1), np.array([[255]]))], 2)
    with pytest.raises(ValueError, match="no window holds a pixel of any class"):
        index.draw(np.random.default_rng(0))


def test_it_is_built_once_and_again_where_the_file_is_damaged(tmp_path: Path) -> None:
    built = []

    def build() -> FrequencyIndex:
        built.append(1)
        return build_frequency_index(SAMPLES, 4)

    path = tmp_path / "new" / "i.npz"
    first = cached_frequency_index(path, build)
    for _ in range(2):
        again = cached_frequency_index(path, build)
        for name in ("scenes", "windows", "counts"):
            np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert len(built) == 1
    whole = path.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], b"hello"):
        path.write_bytes(damage)
        assert cached_frequency_index(path, build).totals.tolist() == [10, 3, 3, 0]
    assert len(built) == 4


def test_the_name_changes_with_the_files_and_the_options(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_text("one")
    os.utime(path, ns=(1, 1))
    names = {fingerprint([path], [1]), fingerprint([path], [2])}
    os.utime(path, ns=(1, 2))
    names.add(fingerprint([path], [1]))
    path.write_text("longer")
    names.add(fingerprint([path], [1]))
    assert len(names) == 4 and fingerprint([path], [1]) in names


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a.tif", "a.tfw"),
        ("a.tif", "a.tif.msk"),
        ("a.png", "a.png.aux.xml"),
        ("a.tiff", "a.tiffw"),
        ("a.shp", "a.dbf"),
        ("a.shp", "a.prj"),
    ],
)
def test_another_name_where_a_file_beside_it_changes_how_it_is_read(
    tmp_path: Path, name: str, beside: str
) -> None:
    path = tmp_path / name
    path.write_text("pixels")
    names = {fingerprint([path], [])}
    for text in ("one", "other"):
        (tmp_path / beside).write_text(text * 3)
        names.add(fingerprint([path], []))
    (tmp_path / "other.txt").write_text("nothing to do with it")
    assert len(names) == 3 and fingerprint([path], []) in names


def test_another_name_where_a_raster_of_a_vrt_changes(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.ones((4, 4, 1), np.uint8))
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    names = {fingerprint([vrt], [])}
    os.utime(tmp_path / "a.tif", ns=(1, 2))
    names.add(fingerprint([vrt], []))
    vrt.write_text(vrt.read_text().replace("a.tif", "/etc/hostname"))
    names.add(fingerprint([vrt], []))
    assert len(names) == 3
