"""Frames of rows: how a spool packs them, and how it knows that they are whole.

A frame is ``first row, rows, bytes of each plane, CRC-32 of all of it``, then the planes.  A plane
holds one byte of every value of an array (for floats all highest bytes, then all second ones),
deflated by run lengths: on class maps and scores alike that is quicker than deflate's own search
and packs better.  Planes that hardly pack are kept as they are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLES, _SAMPLE_BYTES = 8, 2**12
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ArrayLayout:
    """One array of a spool: (bands, rows, width), or (rows, width) where ``bands`` is 0.

    Attributes:
        name: What it is called.
        dtype: NumPy's name of its type.
        bands: Length of the leading axis, 0 where there is none.
    """

    name: str
    dtype: str
    bands: int = 0

    def shape(self, rows: int, width: int) -> tuple[int, ...]:
        """Shape of so many rows."""
        return (self.bands, rows, width) if self.bands else (rows, width)

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of a pixel, uncompressed."""
        return np.dtype(self.dtype).itemsize * max(1, self.bands)


class FrameCodec:
    """Packs rows into bytes and back.

    Args:
        layouts: The arrays of every frame, in order.
        width: Columns.
    """

    def __init__(self, layouts: tuple[ArrayLayout, ...], width: int):
        self.layouts = layouts
        self.width = width
        self._num_planes = sum(np.dtype(layout.dtype).itemsize for layout in layouts)
        self._head = struct.Struct(f"<QI{self._num_planes}I")
        self.head_bytes = self._head.size + 4

    def pack(self, first: int, arrays: Arrays) -> bytes:
        """A frame of the rows from ``first`` on."""
        rows = arrays[self.layouts[0].name].shape[-2]
        planes = [
            _deflate(plane)
            for layout in self.layouts
            for plane in _byte_planes(arrays[layout.name], layout.dtype)
        ]
        head = self._head.pack(first, rows, *(len(plane) for plane in planes))
        crc = zlib.crc32(head)
        for plane in planes:
            crc = zlib.crc32(plane, crc)
        return b"".join((head, struct.pack("<I", crc), *planes))

    def most_bytes(self, rows: int) -> int:
        """More than so many rows can take, however badly they pack."""
        raw = rows * self.width * sum(layout.bytes_per_pixel for layout in self.layouts)
        return raw + raw // 64 + 1024 * self._num_planes

    def payload_bytes(self, head: bytes) -> int:
        """How many bytes follow a head; whether it is damaged is not yet known."""
        return sum(self._head.unpack_from(head)[2:])

    def rows(self, head: bytes) -> tuple[int, int]:
        """First row and number of rows."""
        first, rows = self._head.unpack_from(head)[:2]
        return first, rows

    def is_whole(self, head: bytes, payload: bytes) -> bool:
        """Whether head and payload are those that were written."""
        (told,) = struct.unpack_from("<I", head, self._head.size)
        return told == zlib.crc32(payload, zlib.crc32(head[: self._head.size]))

    def unpack(self, head: bytes, payload: bytes) -> Arrays:
        """The arrays of a whole frame."""
        _, rows, *lengths = self._head.unpack_from(head)
        view = memoryview(payload)
        planes = _split(view, lengths)
        arrays: Arrays = {}
        for layout in self.layouts:
            shape = layout.shape(rows, self.width)
            dtype = np.dtype(layout.dtype)
            if dtype.itemsize == 1:
                flat = np.frombuffer(zlib.decompress(next(planes)), dtype=dtype)
            else:
                count = int(np.prod(shape))
                columns = np.empty((count, dtype.itemsize), dtype=np.uint8)
                for index in range(dtype.itemsize):
                    columns[:, index] = np.frombuffer(zlib.decompress(next(planes)), np.uint8)
                flat = columns.reshape(-1).view(dtype)
            arrays[layout.name] = flat.reshape(shape)
        return arrays


def _byte_planes(values: NDArray[Any], dtype: str) -> Iterator[NDArray[np.uint8]]:
    size = np.dtype(dtype).itemsize
    little = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    columns = little.reshape(-1).view(np.uint8).reshape(-1, size)
    for index in range(size):
        yield np.ascontiguousarray(columns[:, index])


def _deflate(plane: NDArray[np.uint8]) -> bytes:
    # most bytes of scores are noise: to pack them takes five times as long as all else, for 10 %
    level = 1 if _packs(plane) else 0
    packer = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress(plane.data) + packer.flush()


def _packs(plane: NDArray[np.uint8]) -> bool:
    """Whether deflate makes a plane smaller by a fifth, as far as samples of it tell."""
    if len(plane) <= _SAMPLES * _SAMPLE_BYTES:
        return True
    begins = np.linspace(0, len(plane) - _SAMPLE_BYTES, _SAMPLES).astype(int)
    sample = b"".join(plane[begin : begin + _SAMPLE_BYTES].tobytes() for begin in begins)
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return len(packer.compress(sample) + packer.flush()) < 0.8 * len(sample)


def _split(view: memoryview, lengths: list[int]) -> Iterator[memoryview]:
    begin = 0
    for length in lengths:
        yield view[begin : begin + length]
        begin += length
