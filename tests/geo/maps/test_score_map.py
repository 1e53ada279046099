from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mmrs.geo.georeference import allow_missing_georeference
from mmrs.geo.maps.raster_options import RasterOptions
from mmrs.geo.maps.score_map import score_map_output
from mmrs.geo.raster import Raster
from mmrs.geo.rows.score_codes import score_code

CLASSES = ("water", "é 中")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_scores_say_what_they_are(tmp_path: Path, dtype: str) -> None:
    code, path = score_code(dtype), tmp_path / "a.tif"
    scores = np.random.default_rng(0).random((2, 20, 30), dtype=np.float32)
    scores[:, 3:5] = np.nan
    with score_map_output(
        path, path, height=20, width=30, bands=CLASSES, code=code, classes=CLASSES
    ) as output:
        output.write_rows(code.encode(scores))
    with allow_missing_georeference(), rasterio.open(path) as dataset:
        assert dataset.descriptions == CLASSES
        assert dataset.dtypes == (dtype, dtype)
        assert str(dataset.nodata) == str(float(code.nodata))
        assert dataset.scales == (code.scale,) * 2 and dataset.offsets == (0.0, 0.0)
        assert json.loads(dataset.tags()["CLASS_NAMES"]) == list(CLASSES)
        np.testing.assert_array_equal(dataset.read(), code.encode(scores))


def test_one_band_needs_no_classes(tmp_path: Path) -> None:
    path, code = tmp_path / "a.tif", score_code("uint8")
    with score_map_output(path, path, height=2, width=3, bands=["entropy"], code=code) as output:
        output.write_rows(np.zeros((1, 2, 3), dtype=np.uint8))
    with allow_missing_georeference(), rasterio.open(path) as dataset:
        assert dataset.descriptions == ("entropy",)
        assert "CLASS_NAMES" not in dataset.tags()


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_bytes_of_classes_are_neither_colours_nor_transparency(tmp_path, form, count) -> None:
    path, code = tmp_path / "a.tif", score_code("uint8")
    names = [f"class {index}" for index in range(count)]
    options = RasterOptions(format=form)
    with score_map_output(
        path, path, height=4, width=3, bands=names, code=code, options=options
    ) as output:
        output.write_rows(np.zeros((count, 4, 3), dtype=np.uint8))
    with Raster(path) as raster:
        assert raster.count == count  # a band of transparency is no data
        told = [interp.name for interp in raster.dataset.colorinterp]
        assert told == ["gray", *["undefined"] * (count - 1)]
