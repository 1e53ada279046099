from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmrs.errors import OutputError
from mmrs.geo.rows.spool_frames import ArrayLayout
from mmrs.geo.rows.spool_header import check_same, make_header, pack_header, read_header

LAYOUTS = (ArrayLayout("labels", "uint8"), ArrayLayout("probabilities", "uint16", 4))


def test_a_header_comes_back_whole_or_not_at_all(tmp_path: Path) -> None:
    header = make_header({"é": (1, 0.1), "none": None}, 3, 5, LAYOUTS)
    assert header["kept rows"] == {"labels": "uint8 x 1", "probabilities": "uint16 x 4"}
    content = pack_header(header)
    for size in range(len(content) + 1):
        (tmp_path / "a").write_bytes(content[:size])
        file = os.open(tmp_path / "a", os.O_RDONLY)
        expected = (header, len(content)) if size == len(content) else None
        assert read_header(file) == expected
        os.close(file)


def test_the_first_difference_is_told_in_the_order_of_the_run() -> None:
    old, new = {"b": 1, "a": 1, "c": 3}, {"a": "x" * 200, "b": 2}
    with pytest.raises(OutputError, match=r"another a: 1, now xxx[x]+. Fix: leave --resume"):
        check_same(old, new, Path("map.tif"))
    with pytest.raises(OutputError, match="another c: 3, now none"):
        check_same(old, {"a": 1, "b": 1}, Path("map.tif"))
    check_same(old, dict(reversed(old.items())), Path("map.tif"))
