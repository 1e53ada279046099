"""Rows of a scene as bytes that travel from one process to another."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np

from mmrs.geo.rows.spool_frames import Arrays

_LENGTH = struct.Struct("<I")


def pack_rows(first: int, arrays: Arrays) -> bytes:
    """Rows as a spool stores them, with the first one's number, compressed.

    Args:
        first: Of which row of its strip the first is.
        arrays: As `RowSpool.read_codes` gives them.
    """
    head = {
        "first": first,
        "arrays": {name: (codes.dtype.str, codes.shape) for name, codes in arrays.items()},
    }
    told = json.dumps(head).encode()
    packer = zlib.compressobj(1)
    parts = [_LENGTH.pack(len(told)), told]
    parts += [packer.compress(np.ascontiguousarray(codes).tobytes()) for codes in arrays.values()]
    return b"".join([*parts, packer.flush()])


def unpack_rows(parcel: bytes) -> tuple[int, Arrays]:
    """What was given to `pack_rows`.

    Raises:
        ValueError: The bytes are not those that were sent.
    """
    (length,) = _LENGTH.unpack_from(parcel)
    begin = _LENGTH.size + length
    head = json.loads(parcel[_LENGTH.size : begin])
    try:
        content = zlib.decompress(parcel[begin:])
    except zlib.error as error:
        raise ValueError(f"rows were damaged on their way ({error})") from error
    arrays: Arrays = {}
    offset = 0
    for name, (dtype, shape) in head["arrays"].items():
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(content, dtype, count, offset).reshape(shape)
        offset += arrays[name].nbytes
    return int(head["first"]), arrays
