"""Pixels of GeoTIFFs reach the pipeline as the file has them."""

import numpy as np
import pytest
import rasterio
from mmseg.registry import TRANSFORMS
from rasterio.enums import ColorInterp

from mmrs.datasets.transforms.load_raster import LoadRaster
from mmrs.errors import ConfigError, DataError
from tests.fake_data import make_geotiff


def load(path, **options) -> dict:
    return LoadRaster(**options).transform({"img_path": str(path)})


@pytest.mark.parametrize("bands", [1, 3, 4, 8])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_values_are_those_of_the_file(tmp_path, bands, dtype):
    data = make_geotiff(tmp_path / "a.tif", size_px=(17, 24), bands=bands, dtype=dtype)
    results = load(tmp_path / "a.tif")
    assert results["img"].dtype == np.float32
    assert results["img"].flags.c_contiguous
    np.testing.assert_array_equal(results["img"], data.transpose(1, 2, 0).astype(np.float32))
    assert results["img_shape"] == results["ori_shape"] == (17, 24)


def test_bands_are_counted_from_one_and_ordered_as_asked(tmp_path):
    data = make_geotiff(tmp_path / "a.tif", size_px=(8, 8), bands=4, dtype="uint16")
    image = load(tmp_path / "a.tif", bands=[4, 1])["img"]
    np.testing.assert_array_equal(image, data[[3, 0]].transpose(1, 2, 0).astype(np.float32))


def test_pixels_without_data_are_not_lost_in_silence(tmp_path):
    path = tmp_path / "a.tif"
    data = make_geotiff(path, size_px=(8, 8), nodata=0, nodata_columns=2)
    with pytest.raises(DataError, match=r"a\.tif: \d+ pixels hold no data.*Fix: "):
        load(path)
    kept = load(path, nodata="keep")["img"]
    np.testing.assert_array_equal(kept, data.transpose(1, 2, 0).astype(np.float32))


def test_declared_nodata_that_does_not_occur_is_no_error(tmp_path):
    make_geotiff(tmp_path / "a.tif", size_px=(8, 8), dtype="uint16", nodata=65535)
    assert load(tmp_path / "a.tif")["img"].shape == (8, 8, 3)


def test_near_infrared_marked_as_transparency_is_data_where_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    pixels = np.full((4, 6, 6), 90, np.uint8)
    pixels[3, :2] = 0
    profile = {"driver": "GTiff", "height": 6, "width": 6, "count": 4, "dtype": "uint8"}
    profile["transform"] = rasterio.Affine(6, 0, 0, 0, -6, 0)
    with rasterio.open(path, "w", **profile) as raster:
        raster.colorinterp = [getattr(ColorInterp, n) for n in ("red", "green", "blue", "alpha")]
        raster.write(pixels)
    np.testing.assert_array_equal(load(path)["img"][..., 3], pixels[3].astype(np.float32))
    with pytest.raises(DataError, match="12 pixels hold no data"):
        load(path, bands=[1, 2, 3])


@pytest.mark.parametrize("bands", [[1, 2, 3], [4, 1], [4], [1, 2, 3, 4], None])
def test_declared_nodata_counts_where_the_fourth_band_is_read_too(tmp_path, bands):
    path = tmp_path / "a.tif"
    # GDAL marks the fourth band of such a file as transparency, whatever it holds
    make_geotiff(path, size_px=(6, 6), bands=4, dtype="uint8", nodata=0, nodata_columns=2)
    with rasterio.open(path) as raster:
        assert raster.colorinterp[3] == ColorInterp.alpha
    with pytest.raises(DataError, match="12 pixels hold no data"):
        load(path, bands=bands)
    load(path, bands=bands, nodata="keep")


def test_a_mask_counts_where_the_fourth_band_is_read_too(tmp_path):
    path = tmp_path / "a.tif"
    make_geotiff(path, size_px=(6, 6), bands=4, dtype="uint8")
    mask = np.full((6, 6), 255, np.uint8)
    mask[0, :5] = 0
    with rasterio.open(path, "r+") as raster:
        raster.write_mask(mask)
    for bands in ([1, 2, 3], None):
        with pytest.raises(DataError, match="5 pixels hold no data"):
            load(path, bands=bands)


@pytest.mark.parametrize("bands", [None, [1, 2], [1]])
def test_one_dark_band_alone_is_data(tmp_path, bands):
    path = tmp_path / "a.tif"
    data = make_geotiff(path, size_px=(6, 6), bands=4, dtype="uint16", nodata=0)
    with rasterio.open(path, "r+") as raster:
        data[0] = 0
        data[1, :2] = 0
        raster.write(np.maximum(data[2:], 1), [3, 4])
        raster.write(data[:2], [1, 2])
    assert load(path, bands=bands)["img"][..., 0].max() == 0


def test_declared_values_that_are_not_finite_are_kept_as_0(tmp_path):
    path = tmp_path / "a.tif"
    make_geotiff(path, size_px=(4, 4), dtype="float32", nodata=np.nan)
    with rasterio.open(path, "r+") as raster:
        pixels = raster.read()
        pixels[:, 0, 0] = pixels[1, 2, 2] = np.nan
        raster.write(pixels)
    with pytest.raises(DataError, match="not finite"):
        load(path)
    np.testing.assert_array_equal(
        load(path, nodata="keep")["img"], np.nan_to_num(pixels, nan=0).transpose(1, 2, 0)
    )


def test_values_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    make_geotiff(path, size_px=(4, 4), dtype="float32")
    with rasterio.open(path, "r+") as raster:
        band = raster.read(1)
        band[0, 0] = np.nan
        raster.write(band, 1)
    for nodata in ("error", "keep"):
        with pytest.raises(DataError, match="not finite"):
            load(path, nodata=nodata)


def test_bad_files_are_told_in_one_line(tmp_path):
    make_geotiff(tmp_path / "a.tif", size_px=(4, 4))
    with pytest.raises(DataError, match="it has 3 bands, band 4 is asked for"):
        load(tmp_path / "a.tif", bands=[1, 4])
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(DataError, match="not a raster that can be read"):
        load(tmp_path / "text.tif")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": []}, "bands must be numbers from 1 on"),
        ({"bands": [0, 1]}, "bands must be numbers from 1 on"),
        ({"nodata": "ignore"}, "nodata 'ignore' is unknown"),
    ],
)
def test_bad_options_are_told_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        LoadRaster(**options)


def test_it_is_registered_and_shows_its_options():
    step = TRANSFORMS.build({"type": "mmrs.LoadRaster", "bands": [1, 2], "nodata": "keep"})
    assert repr(step) == "LoadRaster(bands=[1, 2], nodata='keep')"
