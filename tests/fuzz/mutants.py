"""Damaged files, made from a seed: the same number is always the same file."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

HEIGHT, WIDTH = 24, 40
Rng = np.random.Generator
# What a header must not be believed: nothing, one, the largest of each width, and just below.
EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 100_000)


@dataclass(frozen=True)
class Mutant:
    """One damaged file.

    Attributes:
        number: Which.
        name: File name, with the suffix of what it was.
        kind: ``image`` or ``archive``.
        how: What was done to it.
        content: Its bytes.
    """

    number: int
    name: str
    kind: str
    how: str
    content: bytes


def make_mutant(seed: int, number: int) -> Mutant:
    """The ``number``-th mutant of a seed."""
    rng = np.random.default_rng([seed, number])
    samples = _samples()
    names = sorted(samples)
    # archives are a third, whatever the number of samples
    wanted = "archive" if number % 3 == 2 else "image"
    names = [name for name in names if samples[name][0] == wanted]
    name = names[int(rng.integers(len(names)))]
    content, how = samples[name][1], []
    for _ in range(1 + int(rng.random() < 0.3)):
        mutate = MUTATORS[int(rng.integers(len(MUTATORS)))]
        content = mutate(content, rng)
        how.append(mutate.__name__)
    return Mutant(number, f"{number}-{name}", wanted, "+".join(how), content)


def flip_bits(content: bytes, rng: Rng) -> bytes:
    """1 to 8 bits anywhere."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flip_head(content: bytes, rng: Rng) -> bytes:
    """1 to 4 bits of the first 200 bytes, where headers are."""
    return flip_bits(content[:200], rng) + content[200:]


def truncate(content: bytes, rng: Rng) -> bytes:
    """Cut at any byte, the first included."""
    return content[: int(rng.integers(0, max(1, len(content))))]


def splice(content: bytes, rng: Rng) -> bytes:
    """A block of the file over another place of it."""
    size = int(rng.integers(1, 1 + max(1, len(content) // 3)))
    source, target = (int(rng.integers(0, max(1, len(content) - size))) for _ in range(2))
    return content[:target] + content[source : source + size] + content[target + size :]


def zero_block(content: bytes, rng: Rng) -> bytes:
    """Zeros, as a download that was preallocated leaves them."""
    begin = int(rng.integers(0, max(1, len(content))))
    size = int(rng.integers(1, 1 + max(1, len(content) - begin)))
    return content[:begin] + bytes(size) + content[begin + size :]


def remove_block(content: bytes, rng: Rng) -> bytes:
    """Some bytes are gone, and all that follows moves."""
    begin = int(rng.integers(0, max(1, len(content))))
    return content[:begin] + content[begin + int(rng.integers(1, 64)) :]


def set_field(content: bytes, rng: Rng) -> bytes:
    """An extreme number in a field of a header: a TIFF's tag, or anywhere in the first bytes."""
    changed = bytearray(content)
    value = EXTREMES[int(rng.integers(len(EXTREMES)))]
    place, width = _field(content, rng)
    if place + width <= len(changed):
        order = "big" if content[:2] in (b"MM", b"\x89P") else "little"
        changed[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, order)
    return bytes(changed)


def swap(content: bytes, rng: Rng) -> bytes:
    """Another sample under this name."""
    del content
    samples = _samples()
    return samples[sorted(samples)[int(rng.integers(len(samples)))]][1]


MUTATORS: tuple[Callable[[bytes, Rng], bytes], ...] = (
    *(flip_bits, flip_head, truncate, splice, zero_block, remove_block),
    *(set_field, set_field, set_field, swap),
)


def _field(content: bytes, rng: Rng) -> tuple[int, int]:
    """(byte, width) of a number in a header."""
    if content[:4] == b"II*\0" and len(content) > 16:
        (start,) = struct.unpack_from("<I", content, 4)
        if start + 2 < len(content):
            (entries,) = struct.unpack_from("<H", content, start)
            entry = start + 2 + 12 * int(rng.integers(0, max(1, min(entries, 40))))
            # tag, type, count, value
            return ((entry, 2), (entry + 2, 2), (entry + 4, 4), (entry + 8, 4), (entry + 8, 2))[
                int(rng.integers(5))
            ]
    if content[:4] == b"PK\x03\x04" and rng.random() < 0.7:
        found = content.rfind(b"PK\x01\x02")
        return found + int(rng.integers(4, 44)), int(rng.choice([2, 4]))
    return int(rng.integers(0, max(1, min(120, len(content) - 4)))), int(rng.choice([1, 2, 4]))


@lru_cache
def _samples() -> dict[str, tuple[str, bytes]]:
    """Name -> kind and content of whole files, small and of many makes."""
    rng = np.random.default_rng(0)
    found = {name: ("image", content) for name, content in _pictures(rng).items()}
    members = {
        "img/a.png": found["rgb.png"][1],
        "ann/a.png": found["grey.png"][1],
        "read me.txt": b"words " * 50,
    }
    found["stored.zip"] = ("archive", _zip(members, zipfile.ZIP_STORED))
    found["packed.zip"] = ("archive", _zip(members, zipfile.ZIP_DEFLATED))
    inner = {"inside/data.zip": found["packed.zip"][1], "b.txt": b"b"}
    found["nested.zip"] = ("archive", _zip(inner, zipfile.ZIP_DEFLATED))
    found["plain.tar"] = ("archive", _tar(members, "w"))
    found["packed.tar.gz"] = ("archive", _tar(members, "w:gz"))
    found["packed.tar.xz"] = ("archive", _tar(members, "w:xz"))
    found["packed.tar.bz2"] = ("archive", _tar(members, "w:bz2"))
    return found


def _pictures(rng: Rng) -> dict[str, bytes]:
    rgb = rng.integers(0, 256, (3, HEIGHT, WIDTH)).astype(np.uint8)
    rgb[:, ::2] //= 2
    grey = (rgb[0] % 3).astype(np.uint8)
    wide = rgb.astype(np.uint16)[[0, 1, 2, 0]] * 100
    real = rgb[:2].astype(np.float32)
    real[:, 3:6, 4:9] = -9999
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    tiffs: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "tiles.tif": (rgb, {"compress": "deflate", **tiles}),
        "predictor.tif": (wide, {"compress": "lzw", "predictor": 2, "interleave": "band"}),
        "plain.tif": (real, {"nodata": -9999}),
        "alpha.tif": (wide, {"compress": "zstd", "photometric": "rgb", "alpha": "yes", **tiles}),
        "jpeg.tif": (rgb, {"compress": "jpeg", "photometric": "ycbcr", **tiles}),
        "big.tif": (rgb, {"bigtiff": "yes", "compress": "packbits"}),
        "ids.tif": (grey[None], {"compress": "deflate", "nodata": 255}),
        "lerc.tif": (real, {"compress": "lzma", "interleave": "band"}),
    }
    pictures = {name: _tiff(pixels, options) for name, (pixels, options) in tiffs.items()}
    bands = rgb.transpose(1, 2, 0)
    indexed = Image.fromarray(grey)
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    rgba = np.dstack([bands, 255 - bands[..., 0]])
    for name, picture, options in (
        ("rgb.png", Image.fromarray(bands), {}),
        ("rgba.png", Image.fromarray(rgba), {}),
        ("grey.png", Image.fromarray(grey), {}),
        ("indexed.png", indexed, {}),
        ("wide.png", Image.fromarray(wide[0]), {}),
        ("bits.png", Image.fromarray(grey > 0), {}),
        ("a.jpg", Image.fromarray(bands), {"quality": 80}),
        ("progressive.jpg", Image.fromarray(bands), {"progressive": True}),
        ("a.bmp", Image.fromarray(bands), {}),
        ("a.webp", Image.fromarray(bands), {"lossless": True}),
    ):
        stream = io.BytesIO()
        kind = {"jpg": "JPEG"}.get(name[-3:], name.rpartition(".")[2].upper())
        picture.save(stream, format=kind, **options)
        pictures[name] = stream.getvalue()
    return pictures


def _tiff(pixels: np.ndarray, options: dict[str, Any]) -> bytes:
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=len(pixels),
            height=HEIGHT,
            width=WIDTH,
            dtype=pixels.dtype.name,
            crs=CRS.from_epsg(32633),
            transform=Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 5_400_000.0),
            **options,
        ) as dataset:
            dataset.write(pixels)
        return bytes(memory.read())


def _zip(members: dict[str, bytes], method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def _tar(members: dict[str, bytes], mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
