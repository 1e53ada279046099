"""Checksums that PNG and deflated GeoTIFF carry and that decoders leave unread.

libpng stops at the last row, and libtiff where a block is full, which may be before the checksum
that follows: bytes that have changed are decoded without a word into pixels that nobody took.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mmrs.errors import DataError
from mmrs.geo.claimed_size import refuse_impossible_size
from mmrs.geo.raster import Raster

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = 1 << 20
_FIX = "the file is damaged; fetch it again"


def verify_checksums(path: str | Path) -> None:
    """Raise where a file's own checksums say that its bytes are not those that were written.

    Files of other formats, and GeoTIFFs that are not deflated, have none and pass.

    Args:
        path: Any file.

    Raises:
        DataError: With the chunk or block that is wrong; or the file cannot be read.
    """
    refuse_impossible_size(path)
    if verify_png(path):
        return
    with open(path, "rb") as file:
        head = file.read(4)
    if head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        with Raster(path) as raster:
            if raster.dataset.profile.get("compress") == "deflate":
                _verify_deflate(raster, path)


def verify_png(path: str | Path, *, name: str | None = None) -> bool:
    """Raise where a PNG is cut, or a byte of it changed; GDAL reads some of these without a word.

    Args:
        path: Any file.
        name: What the message calls it; the path by default.

    Returns:
        Whether it is a PNG.

    Raises:
        DataError: With the chunk that is wrong; or the file cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(8) != _PNG:
            return False
        _walk_chunks(file, str(path) if name is None else name)
    return True


def _walk_chunks(file: IO[bytes], path: str) -> None:
    """Length, name, data, CRC of name and data; the last is IEND."""
    while True:
        begin = file.tell()
        header = file.read(8)
        if len(header) < 8:
            raise DataError(f"ends at byte {begin}, before its last chunk", where=path, fix=_FIX)
        length, name = struct.unpack(">I4s", header)
        crc = zlib.crc32(name)
        left = length
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                raise _ends_inside(name, begin, path)
            crc = zlib.crc32(data, crc)
            left -= len(data)
        told = file.read(4)
        if len(told) < 4:
            raise _ends_inside(name, begin, path)
        if told != struct.pack(">I", crc):
            raise DataError(
                f"the checksum of its chunk {_printable(name)} at byte {begin} is wrong",
                where=path,
                fix=_FIX,
            )
        if name == b"IEND":
            return


def _ends_inside(name: bytes, begin: int, path: str | Path) -> DataError:
    what = f"ends inside the chunk {_printable(name)} at byte {begin}"
    return DataError(what, where=path, fix=_FIX)


def _verify_deflate(raster: Raster, path: str | Path) -> None:
    with open(path, "rb") as file:
        for band, row, col, offset, size in _blocks(raster.dataset):
            file.seek(offset)
            wrong = _inflate_error(file, size)
            if wrong is not None:
                raise DataError(
                    f"band {band}, block at row {row}, column {col} (byte {offset}): {wrong}",
                    where=path,
                    fix=_FIX,
                )


def _blocks(dataset: Any) -> Iterator[tuple[int, int, int, int, int]]:
    """(band, first row, first column, byte, bytes) of every block that the file holds."""
    pixel_interleaved = dataset.profile.get("interleave") != "band"
    for band in dataset.indexes[:1] if pixel_interleaved else dataset.indexes:
        height, width = dataset.block_shapes[band - 1]
        for i in range(-(-dataset.height // height)):
            for j in range(-(-dataset.width // width)):
                offset = dataset.get_tag_item(f"BLOCK_OFFSET_{j}_{i}", "TIFF", bidx=band)
                size = dataset.get_tag_item(f"BLOCK_SIZE_{j}_{i}", "TIFF", bidx=band)
                if offset and size:  # a sparse file leaves blocks out
                    yield band, i * height, j * width, int(offset), int(size)


def _inflate_error(file: IO[bytes], size: int) -> str | None:
    stream = zlib.decompressobj()
    left = size
    try:
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                return "the file ends inside it"
            left -= len(data)
            while data:  # what comes out is thrown away, a little at a time
                stream.decompress(data, _CHUNK)
                data = stream.unconsumed_tail
    except zlib.error as error:
        return f"it does not decompress ({str(error).rpartition(': ')[2]})"
    return None if stream.eof else "its compressed data end too early"


def _printable(name: bytes) -> str:
    return name.decode("ascii", "replace") if name.isalnum() else repr(name)[1:]
