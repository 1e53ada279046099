"""Is a PNG whole? Its chunks carry checksums, which GDAL does not always mind."""

from __future__ import annotations

import zlib
from pathlib import Path

from mmrs.errors import DataError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = 1 << 20


def check_png(path: str | Path, *, name: str | None = None) -> None:
    """Walk through the chunks of a PNG and compare their checksums; other files pass.

    GDAL reads a small PNG that is cut as if the missing rows were 0.

    Args:
        path: The file.
        name: What the message calls it; the path by default.

    Raises:
        DataError: It is a PNG and cut or changed.
    """
    where = str(path) if name is None else name
    with open(path, "rb") as file:
        if file.read(8) != _SIGNATURE:
            return
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise _damaged("it ends before its last chunk", where)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            checksum, left = zlib.crc32(kind), length
            while left:
                part = file.read(min(left, _CHUNK))
                if not part:
                    raise _damaged(f"it ends inside chunk {kind!r}", where)
                checksum = zlib.crc32(part, checksum)
                left -= len(part)
            stored = file.read(4)
            if len(stored) < 4:
                raise _damaged(f"it ends inside chunk {kind!r}", where)
            if int.from_bytes(stored, "big") != checksum:
                raise _damaged(f"the checksum of chunk {kind!r} is wrong", where)
            if kind == b"IEND":
                return


def _damaged(what: str, where: str) -> DataError:
    return DataError(f"PNG is damaged: {what}", where=where, fix="fetch it again")
