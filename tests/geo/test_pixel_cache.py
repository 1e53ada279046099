"""Pixels unpacked once: the same windows as from the raster."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from mmrs.errors import DataError, OutputError
from mmrs.geo import pixel_cache
from mmrs.geo.pixel_cache import PixelCache
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window
from tests.geo.test_raster import write_tiff
from tests.geo.test_window_reader import UTM


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bands of float32 with declared and undeclared gaps, unpacked in several blocks."""
    monkeypatch.setattr(pixel_cache, "BLOCK_ROWS", 7)
    pixels = np.random.default_rng(0).normal(50, 9, (20, 30, 2)).astype(np.float32)
    pixels[:2] = -1
    pixels[9, 4:8, 1] = np.nan
    return write_tiff(tmp_path / "a.tif", pixels, nodata=-1, **UTM)


@pytest.mark.parametrize("bands", [None, [2]])
def test_windows_are_those_of_the_raster(path: Path, bands: list[int] | None) -> None:
    folder = path.parent / "cache"
    plain, cached = WindowReader(bands=bands), WindowReader(bands=bands, cache_dir=folder)
    for window in (Window(0, 0, 20, 30), Window(5, 3, 9, 11), Window(16, 25, 8, 8)):
        for one, two in zip(plain.read(path, window), cached.read(path, window), strict=True):
            np.testing.assert_array_equal(one, two)
            assert not isinstance(one, np.ndarray) or one.dtype == two.dtype
    assert plain.read(path, Window(5, 3, 9, 11))[2] == 4


def test_it_is_made_once_and_anew_for_a_new_raster(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = path.parent / "cache"
    PixelCache(path, folder)
    before = set(folder.iterdir())
    made = []
    real = pixel_cache._unpack
    monkeypatch.setattr(
        pixel_cache, "_unpack", lambda path, *others: (made.append(path), real(path, *others))
    )
    PixelCache(path, folder).close()
    assert not made and set(folder.iterdir()) == before
    write_tiff(path, np.full((5, 5, 1), 7, np.uint8), **UTM)
    found = PixelCache(path, folder).read_with_valid(Window(0, 0, 5, 5))
    assert len(made) == 1 and (found[0] == 7).all() and found[1].all()
    # nothing can be invalid in it, so it has no mask
    assert len(set(folder.iterdir()) - before) == 1


def test_a_damaged_raster_leaves_nothing_behind(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-900])
    folder = path.parent / "cache"
    with pytest.raises(DataError, match="cannot be read at rows"):
        PixelCache(path, folder)
    assert list(folder.iterdir()) == []


def test_too_little_room_is_told_beforehand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(100))
    with pytest.raises(OutputError, match=r"a\.tif: its pixels take 5400 bytes in .*, 100 are fr"):
        PixelCache(path, path.parent / "cache")


def test_without_a_folder_nothing_is_cached(path: Path) -> None:
    with pytest.raises(ValueError, match="cache_dir is not set"):
        WindowReader().cached(path)


@pytest.mark.parametrize("lost", ["mask", "pixels", "end of pixels", "end of mask"])
def test_it_is_made_anew_where_a_part_of_it_is_lost(path: Path, lost: str) -> None:
    folder, whole = path.parent / "cache", Window(0, 0, 20, 30)
    expected = WindowReader().read(path, whole)
    PixelCache(path, folder).close()
    for file in folder.iterdir():
        if file.stem.endswith("mask") == ("mask" in lost):
            if "end" in lost:
                file.write_bytes(file.read_bytes()[:-9])
            else:
                file.unlink()
    for one, two in zip(expected, WindowReader(cache_dir=folder).read(path, whole), strict=True):
        np.testing.assert_array_equal(one, two)
