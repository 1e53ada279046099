"""Pictures whose headers claim more than their bytes can hold: refused before memory is taken."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

from mmrs.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
# grey, RGB, palette, grey + alpha, RGBA
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEFLATE_RATIO = 1032  # the most that deflate can pack into a byte
# one colour needs no bits in WebP, so any size is possible; imagery never comes near this
_WEBP_RATIO, _WEBP_FREE_BYTES = 20_000, 2**26
_FIX = "the file is damaged; fetch it again"


def refuse_impossible_size(path: str | Path) -> None:
    """Raise where the headers of a PNG or WebP claim more than its bytes can hold.

    Decoders take memory for what a header says before they read on: 200 bytes can ask for
    gigabytes, as the size of the picture or of a chunk. No pixel is read for it; other formats,
    and what is no file, pass.

    Raises:
        DataError: With what is claimed and the bytes there are, or where a PNG is cut.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(30)
            num_bytes = file.seek(0, 2)
            if head[:8] == _PNG and len(head) >= 26:
                _walk_chunk_headers(file, num_bytes, path)
    except OSError:
        return
    if len(head) < 30:
        return
    if head[:8] == _PNG:
        width, height, depth, color = struct.unpack(">IIBB", head[16:26])
        row_bytes = width * _PNG_CHANNELS.get(color, 1) * depth // 8
        # every row has a byte more, for its filter
        claimed, possible = height * (row_bytes + 1), _DEFLATE_RATIO * num_bytes
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        width, height = _webp_size(head)
        claimed, possible = 3 * height * width, _WEBP_RATIO * num_bytes + _WEBP_FREE_BYTES
    else:
        return
    if claimed > possible:
        raise DataError(
            f"claims {height} x {width} px (rows x columns), which {num_bytes} bytes cannot hold",
            where=path,
            fix=_FIX,
        )


def _walk_chunk_headers(file: IO[bytes], num_bytes: int, path: str | Path) -> None:
    begin, name = 8, b""
    while name != b"IEND" and begin + 8 <= num_bytes:
        file.seek(begin)
        length, name = struct.unpack(">I4s", file.read(8))
        if begin + 12 + length > num_bytes:
            shown = name.decode("ascii", "replace") if name.isalpha() else repr(name)
            what = f"ends inside the chunk {shown} at byte {begin}"
            raise DataError(what, where=path, fix=_FIX)
        begin += 12 + length


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height by the first chunk: extended, lossless or lossy.

    Source: https://developers.google.com/speed/webp/docs/riff_container, and RFC 9649.
    """
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF
