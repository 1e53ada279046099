from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from mmrs.errors import DataError
from mmrs.geo.raster import Raster, allow_missing_georeference
from mmrs.geo.windows import Window
from tests.fake_data import make_geotiff

ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2.0, -2.0)


def write_tiff(path: Path, pixels: np.ndarray, **options) -> Path:
    """GeoTIFF of (H, W, bands)."""
    height, width, count = pixels.shape
    with (
        allow_missing_georeference(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=count,
            dtype=pixels.dtype,
            **options,
        ) as dataset,
    ):
        dataset.write(np.moveaxis(pixels, -1, 0))
        if count == 4 and "photometric" not in options:
            dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * 3
    return path


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, (20, 30, 3), dtype=np.uint8)


def test_windows_are_parts_of_the_file_in_its_band_order(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    path = write_tiff(tmp_path / "é 中.tif", pixels, crs="EPSG:32633", transform=ROTATED)
    with Raster(path) as raster:
        assert (raster.height, raster.width, raster.count, raster.dtype) == (20, 30, 3, "uint8")
        np.testing.assert_array_equal(raster.read(), pixels)
        window = Window(3, 7, 5, 11)
        np.testing.assert_array_equal(raster.read(window), pixels[window.slices])
        assert raster.read_valid(window).all()
        assert raster.read_valid(window).shape == (5, 11)
        assert not raster.has_invalid


def test_a_png_is_read_as_rgb_without_a_georeference(tmp_path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    with Raster(tmp_path / "a.png") as raster:
        np.testing.assert_array_equal(raster.read(), pixels)
        assert raster.georeference.is_missing
        assert raster.georeference.transform is None
        assert raster.georeference.gsd is None


def test_a_world_file_gives_a_png_its_grid(tmp_path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    (tmp_path / "a.pgw").write_text("0.5\n0\n0\n-0.5\n100.25\n199.75\n")
    with Raster(tmp_path / "a.png") as raster:
        assert raster.georeference.transform == Affine(0.5, 0, 100, 0, -0.5, 200)


def test_georeferences_are_kept_whole(tmp_path: Path, pixels: np.ndarray) -> None:
    write_tiff(tmp_path / "grid.tif", pixels, crs="EPSG:32633", transform=ROTATED)
    points = [
        GroundControlPoint(r, c, 10 + c / 9, 50 - r / 9) for r, c in ((0, 0), (0, 30), (20, 0))
    ]
    write_tiff(tmp_path / "points.tif", pixels, gcps=points, crs="EPSG:4326")
    with Raster(tmp_path / "grid.tif") as raster:
        reference = raster.georeference
        assert reference.crs == CRS.from_epsg(32633)
        assert reference.transform.almost_equals(ROTATED, 1e-9)
        assert reference.gsd == pytest.approx(2.0)
        assert not reference.is_missing
    with Raster(tmp_path / "points.tif") as raster:
        reference = raster.georeference
        assert [(p.row, p.col, p.x, p.y) for p in reference.gcps] == [
            (p.row, p.col, p.x, p.y) for p in points
        ]
        assert reference.gcps_crs == CRS.from_epsg(4326)
        assert not reference.is_missing


def test_a_pixel_is_nodata_only_where_every_band_is(tmp_path: Path, pixels: np.ndarray) -> None:
    pixels[2:5, 3:9] = 0
    pixels[10, 10, 0] = 0
    with Raster(write_tiff(tmp_path / "a.tif", pixels, nodata=0)) as raster:
        expected = np.ones((20, 30), dtype=bool)
        expected[2:5, 3:9] = False
        assert raster.has_invalid
        np.testing.assert_array_equal(raster.read_valid(), expected)
        np.testing.assert_array_equal(raster.read_valid(Window(1, 2, 6, 6)), expected[1:7, 2:8])


def test_alpha_is_validity_not_a_band(tmp_path: Path, pixels: np.ndarray) -> None:
    alpha = np.full((20, 30, 1), 255, dtype=np.uint8)
    alpha[:, 25:] = 0
    cv2.imwrite(str(tmp_path / "a.png"), np.concatenate([pixels[..., ::-1], alpha], axis=2))
    with Raster(tmp_path / "a.png") as raster:
        assert raster.count == 3
        np.testing.assert_array_equal(raster.read(), pixels)
        np.testing.assert_array_equal(raster.read_valid(), alpha[..., 0] > 0)


def test_a_fourth_band_that_is_not_alpha_is_data(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (8, 8, 4), dtype=np.uint16)
    with Raster(write_tiff(tmp_path / "a.tif", pixels)) as raster:
        assert (raster.count, raster.dtype) == (4, "uint16")
        np.testing.assert_array_equal(raster.read(), pixels)


def test_nan_in_any_band_is_nodata_even_undeclared(tmp_path: Path) -> None:
    pixels = np.ones((8, 8, 2), dtype=np.float32)
    pixels[3, 4, 1] = np.nan
    with Raster(write_tiff(tmp_path / "a.tif", pixels)) as raster:
        assert raster.has_invalid
        assert np.argwhere(~raster.read_valid()).tolist() == [[3, 4]]


def test_previews_shrink_by_mean_or_by_nearest(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80, 1), dtype=np.uint8)
    pixels[:, ::2] = 200
    with Raster(write_tiff(tmp_path / "a.tif", pixels)) as raster:
        smooth = raster.read_preview(40)
        assert smooth.shape == (20, 40, 1)
        assert (smooth == 100).all()
        assert set(np.unique(raster.read_preview(40, smooth=False))) <= {0, 200}
        np.testing.assert_array_equal(raster.read_preview(500), pixels)


def test_what_is_no_raster_is_told_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.tif"
    text.write_text("hello")
    vrt = tmp_path / "a.vrt"
    vrt.write_text('<VRTDataset rasterXSize="4" rasterYSize="4"></VRTDataset>')
    for path, message in (
        (tmp_path / "missing.tif", "no such file"),
        (tmp_path, "is a folder, not a raster"),
        (text, "not a raster that can be read"),
        (vrt, "this VRT is not opened"),
        (Path("/vsicurl/http://localhost/a.tif"), "no such file"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            Raster(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_truncated_file_names_the_place(tmp_path: Path, pixels: np.ndarray) -> None:
    big = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    path = write_tiff(tmp_path / "a.tif", big, tiled=True, blockxsize=64, blockysize=64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with rasterio.Env(), Raster(path) as raster:
        raster.read(Window(0, 0, 64, 64))
        with pytest.raises(DataError, match=r"a\.tif: cannot be read at rows 192 to 256, columns"):
            raster.read(Window(192, 0, 64, 256))


def test_bands_of_different_types_are_refused(tmp_path: Path) -> None:
    # only formats of several files have such bands, so the dataset is a stand-in
    path = write_tiff(tmp_path / "a.tif", np.zeros((4, 4, 2), dtype=np.uint8))

    class Mixed:
        dtypes = ("uint8", "int16")
        count = 2

        def close(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmrs.geo.raster._open", lambda _: Mixed())
        with pytest.raises(DataError, match=r"bands of different types: uint8, int16"):
            Raster(path)


def test_bands_are_chosen_and_ordered_as_asked(tmp_path: Path, pixels: np.ndarray) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels)
    with Raster(path, bands=[3, 1]) as raster:
        assert raster.count == 2
        np.testing.assert_array_equal(raster.read(), pixels[..., [2, 0]])


@pytest.mark.parametrize("bands", [[4], [0, 1], []])
def test_a_band_that_is_not_there_is_told_with_what_is(
    tmp_path: Path, pixels: np.ndarray, bands: list[int]
) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels)
    with pytest.raises(DataError, match="it has 3 bands of uint8, but bands"):
        Raster(path, bands=bands)


def test_an_alpha_band_that_is_asked_for_is_data(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (8, 8, 4), dtype=np.uint8)
    path = write_tiff(tmp_path / "a.tif", pixels, photometric="RGB", alpha="yes")
    with Raster(path) as raster:
        assert raster.count == 3
        np.testing.assert_array_equal(raster.read_with_valid()[1], pixels[..., 3] > 0)
    with Raster(path, bands=[4, 1, 2, 3]) as raster:
        found, valid, undeclared = raster.read_with_valid()
        np.testing.assert_array_equal(found, pixels[..., [3, 0, 1, 2]])
        assert valid.all() and undeclared == 0 and not raster.has_invalid


@pytest.mark.parametrize("bands", [None, [1], [3, 2, 1]])
def test_nodata_means_every_band_of_the_file_whichever_are_read(
    tmp_path: Path, pixels: np.ndarray, bands: list[int] | None
) -> None:
    pixels[:5] = 0
    pixels[6, 7, 0] = 0
    path = write_tiff(tmp_path / "a.tif", pixels, nodata=0)
    with Raster(path, bands=bands) as raster:
        valid = raster.read_with_valid()[1]
        np.testing.assert_array_equal(valid, raster.read_valid())
        np.testing.assert_array_equal(valid, (pixels != 0).any(axis=-1))


def test_undeclared_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    pixels = np.ones((6, 5, 2), dtype=np.float32)
    pixels[0] = np.nan
    pixels[3, 1, 1] = np.inf
    for nodata, expected in ((None, 6), (np.nan, 1)):
        path = write_tiff(tmp_path / "a.tif", pixels, nodata=nodata)
        with Raster(path) as raster:
            _, valid, undeclared = raster.read_with_valid()
        np.testing.assert_array_equal(valid, np.isfinite(pixels).all(axis=-1))
        assert undeclared == expected


def test_strips_of_a_compressed_file_are_told_as_slow(tmp_path: Path) -> None:
    wide = np.zeros((8, 1200, 1), dtype=np.uint8)
    with Raster(write_tiff(tmp_path / "a.tif", wide, compress="deflate", blockysize=2)) as raster:
        assert raster.slow_windows == "deflate in strips of 2 rows by 1200 columns"
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    for options in ({}, tiled):
        with Raster(write_tiff(tmp_path / "b.tif", wide, **options)) as raster:
            assert raster.slow_windows is None


def test_a_georeference_without_an_area_is_told_with_the_file(tmp_path):
    path = tmp_path / "flat.tif"
    make_geotiff(path, size_px=(4, 4))
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = Affine(1e-300, 0, 5e5, 0, -1e-300, 5.4e6)
    with Raster(path) as raster, pytest.raises(DataError, match=r"flat\.tif: the transform is"):
        _ = raster.gsd_m


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_data_to_training_and_to_prediction(tmp_path, value):
    pixels = np.ones((4, 5, 2), dtype=np.float32)
    pixels[1, 2, 1] = value
    with Raster(write_tiff(tmp_path / "a.tif", pixels)) as raster:
        expected = np.ones((4, 5), dtype=bool)
        expected[1, 2] = False
        assert np.array_equal(raster.read_valid(), expected)
        assert np.array_equal(raster.read_with_valid()[1], expected)


@pytest.mark.parametrize("bands", [None, [1], [2, 1]])
def test_bands_with_nodata_values_of_their_own(tmp_path: Path, bands: list[int] | None) -> None:
    pixels = np.ones((6, 5, 2), dtype=np.int16)
    pixels[:2] = -1, -2
    pixels[3, 3] = -2, -1  # each is the other's, and data
    path = tmp_path / "a.img"
    size = {"height": 6, "width": 5, "count": 2, "dtype": "int16"}
    with rasterio.open(path, "w", driver="HFA", transform=ROTATED, **size) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    band = '<PAMRasterBand band="{0}"><NoDataValue>-{0}</NoDataValue></PAMRasterBand>'
    path.with_name("a.img.aux.xml").write_text(
        f"<PAMDataset>{band.format(1)}{band.format(2)}</PAMDataset>"
    )
    expected = np.repeat([False, True], [2, 4])[:, None].repeat(5, axis=1)
    with Raster(path, bands=bands) as raster:
        np.testing.assert_array_equal(raster.read_with_valid()[1], expected)
        np.testing.assert_array_equal(raster.read_valid(), expected)


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/stra\xdfe.tif"
    with open(name, "wb"):
        pass
    with pytest.raises(DataError, match=r"stra\\udcdfe\.tif': its name is not UTF-8"):
        Raster(os.fsdecode(name))
