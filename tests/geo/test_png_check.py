from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrs.errors import DataError
from mmrs.geo.png_check import check_png


@pytest.fixture
def content() -> bytes:
    stored = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()


def test_a_whole_png_and_what_is_none_pass(tmp_path: Path, content: bytes) -> None:
    for name, data in (("a.png", content), ("b.png", b""), ("c.png", b"II*\0 a TIFF")):
        (tmp_path / name).write_bytes(data)
        check_png(tmp_path / name)


def test_a_png_cut_anywhere_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    for length in range(8, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"shown\.png: PNG is damaged: .*Fix: fetch it again"):
            check_png(path, name="shown.png")


def test_a_changed_byte_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    for place in range(8, len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(DataError, match="PNG is damaged"):
            check_png(path)
