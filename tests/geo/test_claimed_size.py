"""Headers that claim more than the file can hold, and the emptiest pictures, which pass."""

import struct

import numpy as np
import pytest
from PIL import Image

from mmrs.errors import DataError
from mmrs.geo.claimed_size import refuse_impossible_size


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_header_that_claims_more_than_its_bytes_can_hold_is_refused(png):
    refuse_impossible_size(png)
    whole = bytearray(png.read_bytes())
    whole[16:24] = struct.pack(">II", 30_000, 20_000)
    png.write_bytes(whole)
    with pytest.raises(DataError, match=f"claims 20000 x 30000 px.*{len(whole)} bytes cannot hold"):
        refuse_impossible_size(png)


def test_the_emptiest_picture_that_a_png_can_hold_passes(tmp_path):
    for mode in ("L", "1", "RGBA", "P"):
        path = tmp_path / f"{mode}.png"
        Image.new(mode, (4000, 4000)).save(path, optimize=True)
        refuse_impossible_size(path)
    refuse_impossible_size(tmp_path / "none.png")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    refuse_impossible_size(tmp_path / "cut.png")


def test_a_chunk_that_claims_more_than_the_file_has_is_refused(png):
    whole = bytearray(png.read_bytes())
    whole[33:37] = b"\xff\xff\xff\xff"
    png.write_bytes(whole)
    with pytest.raises(DataError, match="ends inside the chunk IDAT at byte 33"):
        refuse_impossible_size(png)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_is_read_for_its_size_and_refused_where_it_is_absurd(tmp_path, lossless):
    path = tmp_path / "a.webp"
    Image.new("RGB", (4000, 4000), (9, 99, 200)).save(path, lossless=lossless)
    refuse_impossible_size(path)
    whole = bytearray(path.read_bytes())
    if lossless:
        whole[21:25] = (0x3FFF | 0x3FFF << 14).to_bytes(4, "little")
        claimed = "16384 x 16384"
    else:
        whole[26:30] = struct.pack("<HH", 0x3FFF, 0x3FFF)
        whole = whole[:300]
        claimed = "16383 x 16383"
    path.write_bytes(whole)
    with pytest.raises(DataError, match=f"claims {claimed} px"):
        refuse_impossible_size(path)


def test_an_extended_webp_is_judged_by_its_canvas(tmp_path):
    path = tmp_path / "a.webp"
    canvas = (16382).to_bytes(3, "little") * 2
    path.write_bytes(b"RIFF\x64\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas)
    with pytest.raises(DataError, match="claims 16383 x 16383 px"):
        refuse_impossible_size(path)
