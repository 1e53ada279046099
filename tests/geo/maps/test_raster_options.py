from __future__ import annotations

import pytest
from rasterio.enums import Resampling

from mmrs.geo.maps.raster_options import (
    RasterLayout,
    RasterOptions,
    cog_options,
    creation_options,
    overview_config,
    overview_factors,
    overview_resampling,
)

CLASSES = RasterLayout(600, 300, 1, "uint8", 255, is_score=False)
SCORES = RasterLayout(600, 300, 2, "uint16", 65535, is_score=True)
FLOATS = RasterLayout(600, 300, 2, "float32", float("nan"), is_score=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "png"}, r"format must be one of \('gtiff', 'cog'\), got 'png'"),
        ({"compress": "jpeg"}, "compress must be one of"),
        ({"overviews": "average"}, "overviews must be one of"),
        ({"level": 13}, "level of deflate must be 1 to 12, got 13"),
        ({"level": 0}, "level of deflate must be 1 to 12, got 0"),
        ({"level": 23, "compress": "zstd"}, "level of zstd must be 1 to 22, got 23"),
        ({"level": 1, "compress": "lzw"}, "level of lzw must be left out, got 1"),
        ({"num_threads": 0}, "num_threads must be >= 1, got 0"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RasterOptions(**options)


def test_classes_are_neither_predicted_nor_averaged() -> None:
    assert [layout.predictor for layout in (CLASSES, SCORES, FLOATS)] == [1, 2, 3]
    for overviews in ("nearest", "mode"):
        options = RasterOptions(overviews=overviews)
        assert overview_resampling(CLASSES, options) == Resampling[overviews]
        assert overview_resampling(SCORES, options) == Resampling.average


@pytest.mark.parametrize(
    ("height", "width", "factors"),
    [
        (256, 256, []),
        (257, 1, [2]),
        (512, 100, [2]),
        (513, 1, [2, 4]),
        (10, 5000, [2, 4, 8, 16, 32]),
    ],
)
def test_the_smallest_overview_is_one_tile(height: int, width: int, factors: list[int]) -> None:
    layout = RasterLayout(height, width, 1, "uint8", 255, is_score=False)
    assert overview_factors(layout, RasterOptions()) == factors
    assert overview_factors(layout, RasterOptions(overviews="none")) == []


def test_every_option_reaches_gdal() -> None:
    plain = creation_options(SCORES, RasterOptions())
    assert (plain["compress"], plain["predictor"], plain["zlevel"]) == ("deflate", 2, 1)
    assert creation_options(SCORES, RasterOptions(level=9))["zlevel"] == 9
    zstd = creation_options(FLOATS, RasterOptions(compress="zstd", level=3))
    assert (zstd["compress"], zstd["predictor"], zstd["zstd_level"]) == ("zstd", 3, 3)
    assert "compress" not in creation_options(SCORES, RasterOptions(compress="none"))
    assert "zlevel" not in creation_options(SCORES, RasterOptions(compress="lzw"))
    assert creation_options(SCORES, RasterOptions(num_threads=3))["num_threads"] == 3
    for options in (RasterOptions(level=7), RasterOptions(level=7, format="cog")):
        assert overview_config(SCORES, options)["ZLEVEL_OVERVIEW"] == "7"
    cog = cog_options(FLOATS, RasterOptions(level=7, num_threads=2))
    assert (cog["level"], cog["predictor"], cog["num_threads"]) == (7, "FLOATING_POINT", 2)
    assert cog["overviews"] == "FORCE_USE_EXISTING"
    assert cog_options(CLASSES, RasterOptions(overviews="none"))["overviews"] == "NONE"
    assert "predictor" not in cog_options(SCORES, RasterOptions(compress="none"))
