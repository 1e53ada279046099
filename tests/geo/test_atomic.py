from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmrs.errors import OutputError
from mmrs.geo.atomic import atomic_path, remove_beside


def test_a_file_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new folder é" / "map.tif"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".tif"
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["map.tif"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "map.tif"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="boom"), atomic_path(target) as temporary:
        temporary.write_text("half")
        Path(f"{temporary}.aux.xml").write_text("a sidecar of GDAL's")
        raise RuntimeError("boom")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["map.tif"]


def test_an_interruption_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "map.tif"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["map.tif"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / "map.tif"
    target.write_text("old")
    with pytest.raises(OutputError, match=r"map\.tif: cannot be flushed"), atomic_path(target):
        pass
    assert target.read_text() == "old"


def test_the_new_file_has_ordinary_permissions(tmp_path: Path) -> None:
    plain, atomic = tmp_path / "plain", tmp_path / "atomic"
    plain.write_text("")
    with atomic_path(atomic) as temporary:
        temporary.write_text("")
    assert atomic.stat().st_mode == plain.stat().st_mode


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path):
        pass
    with pytest.raises(OutputError, match=r"cannot make its folder .File name too long"):
        with atomic_path(tmp_path / f"{'x' * 300}.tif"):
            pass
    blocked = tmp_path / "file" / "map.tif"
    with pytest.raises(OutputError, match=r"map\.tif: cannot make its folder"):
        with atomic_path(blocked):
            pass


def test_what_lies_beside_a_file_goes_and_names_that_are_too_long_are_of_none(tmp_path) -> None:
    target = tmp_path / "map.tif"
    target.write_text("")
    (tmp_path / "map.tif.ovr").write_text("")
    remove_beside(target, (".ovr", ".msk"))
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]
    remove_beside(tmp_path / f"{'x' * 251}.tif", (".aux.xml",))
    (tmp_path / "map.tif.msk").mkdir()
    with pytest.raises(OutputError, match=r"map\.tif: cannot be written"):
        remove_beside(target, (".msk",))
