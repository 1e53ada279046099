"""Band values to what a network takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmrs.geo.band_stats import compute_band_stats
from mmrs.geo.scaling import BandScaling, from_range, scaling_of
from tests.geo.test_band_stats import GRID, make_rasters
from tests.geo.test_raster import write_tiff


def test_each_kind_does_what_it_says_to_the_pixels_it_is_made_of(tmp_path: Path) -> None:
    paths, arrays = make_rasters(tmp_path, "uint16")
    stats = compute_band_stats(paths)
    pixels = np.concatenate([a.reshape(-1, 1, 3) for a in arrays]).astype(np.uint16)
    scaled = {kind: scaling_of(kind, stats)(pixels) for kind in ("minmax", "percentile", "meanstd")}
    for values in scaled.values():
        assert values.dtype == np.float32 and values.shape == pixels.shape
    assert scaled["minmax"].min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert scaled["minmax"].max(axis=(0, 1)).tolist() == [1, 1, 1]
    np.testing.assert_allclose(scaled["meanstd"].mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled["meanstd"].std(axis=(0, 1)), 1, atol=1e-5)
    low, high = (np.percentile(pixels, p, axis=(0, 1), method="inverted_cdf") for p in (2, 98))
    expected = np.clip((pixels.astype(float) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(scaled["percentile"], expected, atol=1e-6)
    wider = scaling_of("percentile", stats, low=0, high=100)(pixels)
    np.testing.assert_allclose(wider, scaled["minmax"], atol=1e-6)


def test_a_band_of_one_value_becomes_zero() -> None:
    pixels = np.full((2, 2, 1), 5, np.uint8)
    assert not from_range("minmax", [5], [5])(pixels).any()


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float64"])
def test_values_close_together_and_far_from_0_stay_apart(tmp_path: Path, dtype: str) -> None:
    # float32 has steps of 64 at a thousand million
    pixels = (10**9 + np.arange(400).reshape(20, 20, 1)).astype(dtype)
    stats = compute_band_stats([write_tiff(tmp_path / "a.tif", pixels, **GRID)])
    scaled = scaling_of("meanstd", stats)(pixels)
    assert scaled.dtype == np.float32
    expected = (np.arange(400) - 199.5) / np.arange(400).std()
    np.testing.assert_allclose(scaled.ravel(), expected, atol=1e-6)


def test_one_value_of_any_size_becomes_zero_by_mean_and_deviation(tmp_path: Path) -> None:
    pixels = np.full((37, 41, 1), 1e9 + 0.1)
    stats = compute_band_stats([write_tiff(tmp_path / "a.tif", pixels, **GRID)])
    np.testing.assert_allclose(scaling_of("meanstd", stats)(pixels), 0, atol=1e-6)


def test_values_beyond_are_cut_only_where_it_says_so() -> None:
    pixels = np.array([[[0], [30]]], np.int16)
    assert from_range("minmax", [10], [20])(pixels).ravel().tolist() == [0, 1]
    assert BandScaling("meanstd", (10,), (5,), clip=False)(pixels).ravel().tolist() == [-2, 4]


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    stats = compute_band_stats(make_rasters(tmp_path, "uint8")[0])
    with pytest.raises(ValueError, match="got low=98, high=2"):
        scaling_of("percentile", stats, low=98, high=2)
    with pytest.raises(ValueError, match="kind must be one of minmax, percentile, meanstd"):
        scaling_of("other", stats)  # type: ignore[arg-type]
