"""Where the numbers of a scaling come from."""

import numpy as np
import pytest

from mmrs.datasets.raster_scaling import make_scaling
from mmrs.errors import ConfigError, DataError
from mmrs.geo.band_stats import compute_band_stats, write_band_stats
from mmrs.geo.raster import Raster
from tests.fake_data import make_geotiff


@pytest.fixture
def root(tmp_path):
    for index in range(2):
        make_geotiff(
            tmp_path / "data" / f"{index}.tif",
            size_px=(16, 20),
            dtype="uint16",
            bands=3,
            seed=index,
        )
    return tmp_path


def make(root, options, bands=(3, 1), dtype="uint16"):
    return make_scaling(
        options,
        bands=bands,
        dtype=dtype,
        data_root=str(root / "data"),
        cache_dir=root / "cache",
        where="D.scaling",
    )


def test_images_are_read_once_and_the_statistics_kept_away_from_them(root, monkeypatch):
    before = sorted((root / "data").iterdir())
    first = make(root, {"type": "meanstd", "images": "*.tif"})
    stats = compute_band_stats(before, bands=[3, 1])
    assert (first.offset, first.divisor) == (stats.mean, stats.std)
    (kept,) = (root / "cache").iterdir()
    assert sorted((root / "data").iterdir()) == before
    monkeypatch.setattr("mmrs.datasets.raster_scaling.compute_band_stats", None)
    assert make(root, {"type": "meanstd", "images": "*.tif"}) == first
    minmax = make(root, {"type": "minmax", "images": "*.tif"})
    assert minmax.offset == stats.minimum
    monkeypatch.undo()
    kept.write_text("{")
    assert make(root, {"type": "meanstd", "images": "*.tif"}) == first


def test_a_file_of_statistics_and_numbers_do_the_same(root):
    stats = compute_band_stats(sorted((root / "data").iterdir()), bands=[3, 1])
    write_band_stats(stats, root / "s.json")
    pixels = np.random.default_rng(0).integers(0, 4000, (4, 4, 2), dtype=np.uint16)
    for by_file, by_hand in (
        ({"type": "meanstd"}, {"mean": list(stats.mean), "std": list(stats.std)}),
        ({"type": "minmax"}, {"min": list(stats.minimum), "max": list(stats.maximum)}),
    ):
        one = make(root, {**by_file, "stats": str(root / "s.json")})(pixels)
        two = make(root, {**by_file, **by_hand})(pixels)
        np.testing.assert_array_equal(one, two)
    wide = make(root, {"type": "percentile", "stats": str(root / "s.json"), "low": 0, "high": 100})
    assert (wide.offset, wide.clip) == (stats.minimum, True)
    narrow = make(root, {"type": "percentile", "stats": str(root / "s.json")})
    assert narrow.offset == stats.percentile(2)
    assert make(root, {"type": "meanstd", "mean": 5, "std": 2}).offset == (5.0, 5.0)


def test_any_percentage_of_the_images_is_exact_and_of_a_file_if_it_holds_it(root):
    paths = sorted((root / "data").iterdir())
    pixels = []
    for path in paths:
        with Raster(path, bands=[3, 1]) as raster:
            pixels.append(raster.read().reshape(-1, 2))
    low, high = (
        np.percentile(np.concatenate(pixels), p, axis=0, method="inverted_cdf") for p in (0.7, 99.6)
    )
    options = {"type": "percentile", "low": 0.7, "high": 99.6}
    found = make(root, {**options, "images": "*.tif"})
    assert found.offset == tuple(low) and found.divisor == tuple(high - low)
    stats = compute_band_stats(paths, bands=[3, 1])
    write_band_stats(stats, root / "s.json")
    near = make(root, {**options, "stats": str(root / "s.json")})
    assert (np.array(near.offset) >= stats.percentile(0.5)).all()
    with pytest.raises(ConfigError, match=r"99\.95 cannot be told.* give images instead of stats"):
        make(root, {**options, "high": 99.95, "stats": str(root / "s.json")})
    with pytest.raises(ConfigError, match=r"D\.scaling\.high: must be a number .* got '98'"):
        make(root, {**options, "high": "98", "images": "*.tif"})


def test_statistics_of_other_bands_or_types_are_refused(root):
    options = {"type": "minmax", "images": "*.tif"}
    with pytest.raises(
        DataError, match=r"bands \[3, 1\] of uint16, but bands .* of uint8 are read"
    ):
        make(root, options, dtype="uint8")
    stats = compute_band_stats(sorted((root / "data").iterdir()), bands=[1, 3])
    write_band_stats(stats, root / "s.json")
    with pytest.raises(DataError, match=r"of bands \[1, 3\] of uint16, but bands \[3, 1\]"):
        make(root, {"type": "minmax", "stats": str(root / "s.json")})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "zscore"}, "choose from minmax, percentile, meanstd"),
        ({"type": "minmax"}, "nothing says where its numbers come from"),
        ({"type": "minmax", "stats": "a", "images": "b"}, "stats and images say twice"),
        ({"type": "meanstd", "mean": [1], "std": [1, 2]}, r"2 bands need as many numbers, got \[1"),
        ({"type": "meanstd", "mean": [1, 2]}, "got None"),
        ({"type": "meanstd", "mean": 1, "std": 0}, "std must be > 0"),
        ({"type": "minmax", "min": 3, "max": 3}, "max must be > min"),
        ({"type": "minmax", "low": 2, "images": "*.tif"}, "minmax scaling takes no 'low'"),
        ({"type": "percentile", "low": 9, "high": 3, "images": "*.tif"}, "got low=9.0, high=3.0"),
    ],
)
def test_wrong_options_are_told_with_their_key(root, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make(root, options)
    assert str(caught.value).startswith("D.scaling")
