from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmrs.errors import DataError
from mmrs.geo.archive import survey
from mmrs.geo.source_file import SourceFile, fetch, is_archive, side_endings
from tests.geo.test_archive import make_zip


def test_a_name_falls_into_its_parts() -> None:
    file = SourceFile("a.zip/b c/top.1.TIF", 1, "", Path("a.zip"))
    parts = (file.folder, file.basename, file.stem, file.suffix)
    assert parts == ("a.zip/b c", "top.1.TIF", "top.1", ".tif")
    bare = SourceFile(".hidden", 1, "", Path(".hidden"))
    assert (bare.folder, bare.stem, bare.suffix) == ("", ".hidden", "")


def test_a_plain_file_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    (file,) = survey(tmp_path, tmp_path / "s")
    with fetch(file, tmp_path / "s") as path:
        assert path == tmp_path / "a.txt"
    assert path.is_file()


def test_a_member_is_unpacked_while_it_is_read(tmp_path: Path) -> None:
    (file,) = survey(make_zip(tmp_path / "a.zip", {"b/c.TIF": b"abc"}), tmp_path / "s")
    with fetch(file, tmp_path / "s") as path:
        assert (path.read_bytes(), path.suffix) == (b"abc", ".tif")
    assert os.listdir(tmp_path / "s") == []


def test_a_member_longer_than_its_index_says_is_not_written(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"1": b"x" * 4000})
    content = source.read_bytes()
    # both records of the size: local and central
    source.write_bytes(content.replace((4000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    (file,) = survey(source, tmp_path / "s")
    assert file.size == 10
    with pytest.raises(DataError, match="damaged"), fetch(file, tmp_path / "s"):
        pass
    assert os.listdir(tmp_path / "s") == []


def test_endings_of_archives() -> None:
    yes = ["a.zip", "A.ZIP", "b.tar", "c.tar.gz", "d.tgz", "e.tar.xz"]
    no = ["a.zip.png", "a.gz", "zip", "a.tar.png"]
    assert [is_archive(name) for name in yes + no] == [True] * len(yes) + [False] * len(no)


def test_world_files_have_the_endings_that_gdal_looks_for() -> None:
    assert side_endings(".tif") == (".tfw", ".tifw", ".wld", ".tif.aux.xml")
    assert side_endings(".jpeg")[:2] == (".jgw", ".jpegw")
