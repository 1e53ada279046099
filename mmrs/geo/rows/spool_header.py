"""The head of a spool: what its rows were made with, so that a resume mixes no two runs."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmrs.errors import OutputError
from mmrs.geo.rows.locked_file import read_at
from mmrs.geo.rows.spool_frames import ArrayLayout

_MAGIC = b"mmrs rows 1\n"  # the number is the format's
_HEAD = struct.Struct("<II")  # bytes of the JSON that follows, their CRC-32
_MAX_BYTES = 2**24


def make_header(
    fingerprint: Mapping[str, Any], height: int, width: int, layouts: tuple[ArrayLayout, ...]
) -> dict[str, Any]:
    """Everything that two runs must agree on to share rows, as it comes back from a file."""
    kept = {layout.name: f"{layout.dtype} x {max(1, layout.bands)}" for layout in layouts}
    header = {**fingerprint, "height": height, "width": width, "kept rows": kept}
    return dict(json.loads(json.dumps(header)))


def pack_header(header: Mapping[str, Any]) -> bytes:
    """The header as bytes, with its checksum."""
    content = json.dumps(header).encode()
    return _MAGIC + _HEAD.pack(len(content), zlib.crc32(content)) + content


def read_header(file: int) -> tuple[dict[str, Any], int] | None:
    """The header of an open file and the byte after it; None where there is none that is whole."""
    begin = len(_MAGIC) + _HEAD.size
    head = read_at(file, 0, begin)
    if len(head) < begin or not head.startswith(_MAGIC):
        return None
    length, crc = _HEAD.unpack_from(head, len(_MAGIC))
    if length > _MAX_BYTES:
        return None
    content = read_at(file, begin, length)
    if len(content) < length or zlib.crc32(content) != crc:
        return None
    return json.loads(content), begin + length


def check_same(found: Mapping[str, Any], expected: Mapping[str, Any], target: Path) -> None:
    """Raise where the rows of an interrupted run are not those that this one would make.

    Raises:
        OutputError: With the first difference.
    """
    for name in (*expected, *found):
        old, new = found.get(name), expected.get(name)
        if old != new:
            raise OutputError(
                f"its interrupted run had another {name}: {_shown(old)}, now {_shown(new)}",
                where=target,
                fix="leave --resume out to begin anew",
            )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."
