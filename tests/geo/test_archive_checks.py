from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmrs.errors import DataError
from mmrs.geo.archive_checks import ArchiveLimits, Tally, check_name, reading, tidy_name


@given(st.text(alphabet="ab./\\:é\0C", max_size=12))
@example("a/../../b")
@example("C:x")
@example("\\\\host\\x")
def test_a_name_that_passes_stays_below_its_folder(name: str) -> None:
    try:
        check_name(name, "a.zip")
    except DataError as error:
        assert "refused, nothing was unpacked" in str(error)
        return
    joined = os.path.normpath(os.path.join("/base/folder", tidy_name(name)))
    assert joined == "/base/folder" or joined.startswith("/base/folder/")
    assert "\0" not in name


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([60, 60], "more than 4.657e-08 GiB"),
        ([1] * 6, "more than 5 files"),
    ],
)
def test_the_first_member_that_is_too_much_stops_the_count(
    tmp_path: Path, sizes: list[int], told: str
) -> None:
    (tmp_path / "a").write_bytes(b"xx")
    tally = Tally(ArchiveLimits(max_bytes=50, max_files=5))
    read = []

    def members():
        for size in [*sizes, 0, 0]:
            read.append(size)
            yield "name", size

    with pytest.raises(DataError, match=told):
        tally.count(tmp_path / "a", "a", members())
    assert len(read) < len(sizes) + 1


def test_the_ratio_counts_from_100_mb(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    size = 100 << 20
    Tally(ArchiveLimits()).count(tmp_path / "a", "a", [("n", size)])
    with pytest.raises(DataError, match="500 times its size"):
        Tally(ArchiveLimits()).count(tmp_path / "a", "a", [("n", size + 1)])
    Tally(ArchiveLimits(max_ratio=2e5)).count(tmp_path / "a", "a", [("n", size + 1)])


@pytest.mark.parametrize("error", [EOFError(), OSError("x"), RuntimeError("y"), ValueError("z")])
def test_what_a_reader_raises_becomes_one_line(error: Exception) -> None:
    with pytest.raises(DataError, match=r"a\.zip: cannot be read \(\w+\)\. Fix: "):
        with reading("a.zip"):
            raise error


def test_what_is_told_already_stays_as_it_is() -> None:
    with pytest.raises(DataError, match=r"^told$"), reading("a.zip"):
        raise DataError("told")
