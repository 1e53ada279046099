"""Labels brought to the grid of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from mmrs.errors import DataError
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window
from tests.geo.test_raster import ROTATED, write_tiff

UTM = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 5_000_000)}
TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32"]


def test_aligned_labels_are_the_nearest_ones_and_none_outside(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (20, 24, 1), dtype=np.uint8)
    # twice as coarse, and shifted, so that the image's left columns have no labels
    coarse = Affine(4, 0, 500_006, 0, -4, 4_999_998)
    path = write_tiff(tmp_path / "l.tif", labels, crs="EPSG:32633", transform=coarse)
    image = write_tiff(tmp_path / "i.tif", np.ones((30, 40, 1), np.uint8), **UTM)
    window = Window(4, 0, 20, 36)
    found, valid = WindowReader().read_labels(path, window, like=image)
    for row in range(20):
        for col in range(36):
            x = 500_000 + 2 * (col + 0.5)
            y = 5_000_000 - 2 * (row + 4 + 0.5)
            place = int((4_999_998 - y) // 4), int((x - 500_006) // 4)
            inside = 0 <= place[0] < 20 and 0 <= place[1] < 24
            assert valid[row, col] == inside
            if inside:
                assert found[row, col] == labels[place][0]
    assert 0 < valid.sum() < valid.size


def test_labels_without_a_crs_cannot_be_aligned(tmp_path: Path) -> None:
    one = np.zeros((8, 9, 1), dtype=np.uint8)
    path = write_tiff(tmp_path / "l.tif", one)
    image = write_tiff(tmp_path / "i.tif", one, crs="EPSG:32633", transform=ROTATED)
    with pytest.raises(DataError, match=r"l\.tif: it has no CRS or no grid"):
        WindowReader().read_labels(path, Window(0, 0, 4, 4), like=image)


@pytest.mark.parametrize("dtype", [*TYPES, "float64"])
@pytest.mark.parametrize("marked", ["nothing", "nodata", "mask"])
def test_no_type_invents_labels_outside_its_file_or_where_it_has_none(
    tmp_path: Path, dtype: str, marked: str
) -> None:
    path = tmp_path / "l.tif"
    place = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_010, 0, -2, 4_999_990)}
    labels = np.full((10, 10, 1), 2, dtype=dtype)
    if marked == "nodata":
        labels[:3] = 99
        place["nodata"] = 99
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_tiff(path, labels, **place)
        if marked == "mask":
            with rasterio.open(path, "r+") as dataset:
                dataset.write_mask(np.repeat([[0], [255]], [3, 7], axis=0).repeat(10, axis=1) > 0)
    image = write_tiff(tmp_path / "i.tif", np.ones((20, 20, 1), np.uint8), **UTM)
    found, valid = WindowReader().read_labels(path, Window(0, 0, 20, 20), like=image)
    expected = np.zeros((20, 20), dtype=bool)
    expected[5 if marked == "nothing" else 8 : 15, 5:15] = True
    np.testing.assert_array_equal(valid, expected)
    assert (found[valid] == 2).all()


def test_labels_that_are_not_finite_are_none(tmp_path: Path) -> None:
    labels = np.full((20, 20, 1), 1, dtype=np.float32)
    labels[:4] = np.nan
    path = write_tiff(tmp_path / "l.tif", labels, **UTM)
    image = write_tiff(tmp_path / "i.tif", np.ones((20, 20, 1), np.uint8), **UTM)
    _, valid = WindowReader().read_labels(path, Window(0, 0, 20, 20), like=image)
    assert not valid[:4].any() and valid[4:].all()
