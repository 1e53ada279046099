from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from mmrs.geo.raster import Georeference, Raster, allow_missing_georeference
from mmrs.geo.tile_files import encode_tile, png_can_hold, window_georeference
from mmrs.geo.windows import Window


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for ending, content in files.items():
        (folder / f"tile{ending}").write_bytes(content)
    return folder / f"tile{next(iter(files))}"


def place_of(grid: Affine, col: float, row: float) -> tuple[float, float]:
    return grid.a * col + grid.b * row + grid.c, grid.d * col + grid.e * row + grid.f


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("epsg", [32633, 4326, 3857])
@pytest.mark.parametrize("rotation", [0, 30])
def test_a_tile_keeps_pixels_crs_and_place(
    tmp_path: Path, suffix: str, epsg: int, rotation: float
) -> None:
    cos, sin = 0.05 * np.cos(np.radians(rotation)), 0.05 * np.sin(np.radians(rotation))
    grid = Affine(cos, sin, 11.5, sin, -cos, 48.1)
    place = window_georeference(Georeference(CRS.from_epsg(epsg), grid), Window(3, 5, 8, 9))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    path = write(tmp_path, encode_tile(pixels, suffix, georeference=place))
    with Raster(path) as tile:
        np.testing.assert_array_equal(tile.read(), pixels)
        assert tile.georeference.crs == CRS.from_epsg(epsg)
        # the corner of the window is pixel (column 5, row 3) of the raster
        found = tile.georeference.transform
        assert place_of(found, 0, 0) == pytest.approx(place_of(grid, 5, 3), abs=1e-9)
        assert place_of(found, 2, 1) == pytest.approx(place_of(grid, 7, 4), abs=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 4, 12])
def test_a_geotiff_tile_holds_any_bands_and_type(tmp_path: Path, dtype: str, bands: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 250, (6, 5, bands)).astype(dtype)
    path = write(tmp_path, encode_tile(pixels, ".tif", nodata=7))
    with allow_missing_georeference(), rasterio.open(path) as tile:
        assert (tile.count, tile.dtypes[0], tile.nodata) == (bands, dtype, 7)
        np.testing.assert_array_equal(np.moveaxis(tile.read(), 0, -1), pixels)


@pytest.mark.parametrize("bands", [2, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_no_band_of_a_tile_is_taken_for_transparency(
    tmp_path: Path, bands: int, dtype: str
) -> None:
    pixels = np.zeros((5, 6, bands), dtype)
    path = write(tmp_path, encode_tile(pixels, ".tif"))
    with Raster(path) as raster:
        assert raster.count == bands and not raster.has_invalid


def test_one_band_without_a_place_is_one_file(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    files = encode_tile(labels, ".png")
    assert list(files) == [".png"]
    with Raster(write(tmp_path, files)) as tile:
        np.testing.assert_array_equal(tile.read()[..., 0], labels)
        assert tile.georeference.is_missing


def test_a_png_is_refused_what_it_cannot_hold() -> None:
    assert png_can_hold(3, "uint8") and png_can_hold(1, "uint8")
    assert not png_can_hold(4, "uint8") and not png_can_hold(3, "uint16")
    with pytest.raises(ValueError, match="uint8 of 1 or 3 bands, got 4"):
        encode_tile(np.zeros((2, 2, 4), np.uint8), ".png")
    with pytest.raises(ValueError, match=r"suffix must be \.png or \.tif"):
        encode_tile(np.zeros((2, 2), np.uint8), ".jpg")


def test_bytes_are_the_same_each_time() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert encode_tile(pixels, ".png") == encode_tile(pixels, ".png")


def test_control_points_hold_for_the_whole_raster_only() -> None:
    assert window_georeference(Georeference(gcps=(1, 2, 3)), Window(0, 0, 1, 1)).is_missing
