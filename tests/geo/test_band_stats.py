"""Statistics of bands, against NumPy on all pixels at once."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from mmrs.errors import DataError
from mmrs.geo import band_stats
from mmrs.geo.band_stats import compute_band_stats, read_band_stats, write_band_stats
from tests.geo.test_raster import write_tiff

GRID = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 5_000_000)}


def make_rasters(folder: Path, dtype: str, **options) -> tuple[list[Path], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    arrays = []
    for shape in ((40, 30, 3), (25, 50, 3)):
        values = rng.normal(100, 30, shape) * np.array([1, 0.5, 0.1])
        arrays.append((values + (1e6 if dtype == "float64" else 0)).astype(dtype))
    return [
        write_tiff(folder / f"{i}.tif", a, **GRID, **options) for i, a in enumerate(arrays)
    ], arrays


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_statistics_are_those_of_all_pixels(
    tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(band_stats, "BLOCK_ROWS", 16)
    monkeypatch.setattr(band_stats, "BLOCK_COLS", 16)
    paths, arrays = make_rasters(tmp_path, dtype)
    stats = compute_band_stats(paths, bands=[3, 1])
    pixels = np.concatenate([a.reshape(-1, 3) for a in arrays])[:, [2, 0]].astype(np.float64)
    assert (stats.bands, stats.dtype, stats.rasters) == ((3, 1), dtype, 2)
    assert stats.pixels == stats.valid == len(pixels)
    np.testing.assert_allclose(stats.minimum, pixels.min(axis=0))
    np.testing.assert_allclose(stats.maximum, pixels.max(axis=0))
    np.testing.assert_allclose(stats.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.std, pixels.std(axis=0), rtol=1e-9)
    for percent in (0, 2, 50, 98, 100):
        expected = np.percentile(pixels, percent, axis=0, method="inverted_cdf")
        exact = dtype in ("uint8", "uint16", "int16")
        slack = 0 if exact else np.ptp(pixels, axis=0).max() / 65536
        np.testing.assert_allclose(stats.percentile(percent), expected, rtol=0, atol=slack)


def test_one_wild_pixel_does_not_move_percentiles_near_the_ends(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(1000, 100, (200, 200, 1)).astype(np.uint16)
    pixels[0, 0] = 65535
    path = write_tiff(tmp_path / "a.tif", pixels, **GRID)
    stats = compute_band_stats([path], percentiles=[0.03, 99.97])
    for percent in (0.03, 0.1, 0.5, 99.5, 99.9, 99.97):
        rank = math.ceil(pixels.size * Fraction(str(percent)) / 100)
        assert stats.percentile(percent) == (np.sort(pixels.ravel())[rank - 1],)
    with pytest.raises(ValueError, match=r"percentile 99\.99 cannot be told from those kept: 0, "):
        stats.percentile(99.99)


def test_what_is_no_data_does_not_count(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.float32).reshape(6, 10, 1)
    pixels[0] = -5
    pixels[2, 3] = np.nan
    path = write_tiff(tmp_path / "a.tif", pixels, nodata=-5, **GRID)
    stats = compute_band_stats([path])
    assert (stats.pixels, stats.valid, stats.undeclared) == (60, 49, 1)
    assert (stats.minimum, stats.maximum) == ((10.0,), (59.0,))


def test_one_value_has_no_spread(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", np.full((4, 4, 1), 7, np.float32), **GRID)
    stats = compute_band_stats([path])
    assert stats.std == (0.0,) and stats.percentile(2) == stats.percentile(98) == (7.0,)


def test_progress_ends_with_all_pixels(tmp_path: Path) -> None:
    paths, _ = make_rasters(tmp_path, "float32")
    told: list[tuple[int, int]] = []
    compute_band_stats(paths, progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (2 * 2450, 2 * 2450) and sorted(told) == told


def test_a_file_keeps_them(tmp_path: Path) -> None:
    paths, _ = make_rasters(tmp_path, "int16")
    stats = compute_band_stats(paths)
    write_band_stats(stats, tmp_path / "new" / "s.json")
    assert read_band_stats(tmp_path / "new" / "s.json") == stats


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    paths, _ = make_rasters(tmp_path, "uint8")
    other = write_tiff(tmp_path / "o.tif", np.zeros((4, 4, 3), np.uint16), **GRID)
    empty = write_tiff(tmp_path / "e.tif", np.zeros((4, 4, 3), np.uint8), nodata=0, **GRID)
    for files, message in (
        ([*paths, other], r"o\.tif: 3 bands of uint16, but .*0\.tif has 3 of uint8"),
        ([empty], r"e\.tif: none of 16 pixels holds data"),
        ([], "no rasters to read"),
    ):
        with pytest.raises(DataError, match=message):
            compute_band_stats(files)
    damaged = tmp_path / "s.json"
    for text in ("", "[]", json.dumps({"band_stats": {"dtype": "uint8"}})):
        damaged.write_text(text)
        with pytest.raises(DataError, match="holds no band statistics"):
            read_band_stats(damaged)
    with pytest.raises(DataError, match="no such file"):
        read_band_stats(tmp_path / "none.json")
