"""Checksums of PNG and deflated GeoTIFF: whole files pass, one changed byte of pixels does not."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import RasterioError

from mmrs.errors import DataError
from mmrs.geo.checksums import verify_checksums, verify_png
from tests.fake_data import make_geotiff


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def deflated(path, interleave, tiled):
    data = np.random.default_rng(0).integers(0, 900, (3, 40, 50)).astype(np.uint16)
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {"blockysize": 8}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=40,
        width=50,
        count=3,
        dtype="uint16",
        crs="EPSG:32633",
        transform=rasterio.Affine(1, 0, 5, 0, -1, 5),
        compress="deflate",
        interleave=interleave,
        **layout,
    ) as raster:
        raster.write(data)
    return path


def flip(path, place):
    whole = bytearray(path.read_bytes())
    whole[place] ^= 0x10
    path.write_bytes(bytes(whole))


def test_any_changed_byte_of_a_png_is_told(png):
    whole = png.read_bytes()
    for place in range(8, len(whole), 41):
        flip(png, place)
        with pytest.raises(DataError, match=str(png)):
            verify_checksums(png)
        png.write_bytes(whole)
    verify_checksums(png)


def test_a_png_cut_anywhere_is_told(png):
    whole = png.read_bytes()
    for length in range(8, len(whole), 11):
        png.write_bytes(whole[:length])
        with pytest.raises(DataError, match="ends"):
            verify_checksums(png)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("tiled", [True, False])
def test_a_changed_byte_of_any_block_is_told(tmp_path, interleave, tiled):
    path = deflated(tmp_path / "a.tif", interleave, tiled)
    verify_checksums(path)
    with rasterio.open(path) as raster:
        first = int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    whole = path.read_bytes()
    # the blocks follow one another to the end, each under a few bytes that are not its own
    places = range(first + 2, len(whole) - 8, 211)
    told = 0
    for place in places:
        flip(path, place)
        try:
            verify_checksums(path)
        except DataError as error:
            told += "block at row" in str(error)
        path.write_bytes(whole)
    assert told >= len(places) - 2, f"{told} of {len(places)}"


def test_gdal_reads_damage_that_the_checksum_tells(tmp_path):
    """Why this file is there: what is overwritten can decode into pixels that nobody took."""
    path = deflated(tmp_path / "a.tif", "pixel", True)
    whole = path.read_bytes()
    silent = 0
    for place in range(1000, len(whole) - 100, 97):
        path.write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        try:
            with rasterio.open(path) as raster:
                raster.read()
        except RasterioError:
            continue
        silent += 1
        with pytest.raises(DataError, match="block at row"):
            verify_checksums(path)
    assert silent > 0


def test_a_cut_geotiff_is_told(tmp_path):
    path = deflated(tmp_path / "a.tif", "pixel", True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="ends"):
        verify_checksums(path)


def test_files_without_checksums_pass(tmp_path):
    make_geotiff(tmp_path / "plain.tif", size_px=(16, 16))
    verify_checksums(tmp_path / "plain.tif")
    (tmp_path / "text.txt").write_text("nothing")
    verify_checksums(tmp_path / "text.txt")


def test_the_message_names_what_the_caller_calls_it(tmp_path, png):
    png.write_bytes(png.read_bytes()[:60])
    with pytest.raises(DataError, match=r"^a\.zip/b\.png: ends inside the chunk"):
        verify_png(png, name="a.zip/b.png")
    (tmp_path / "text.txt").write_text("none")
    assert not verify_png(tmp_path / "text.txt")
