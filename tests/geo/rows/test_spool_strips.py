"""Strips of a scene are named after its rows, and removed where nobody holds them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmrs.geo.rows.row_spool import RowSpool, spool_path
from mmrs.geo.rows.scene_rows import SceneRows
from mmrs.geo.rows.spool_strips import remove_strip, remove_strips, strip_target


def keep(target: Path, rows: range, *, stay_open: bool = False) -> RowSpool:
    spool = RowSpool(
        strip_target(target, rows), fingerprint={}, width=3, height=len(rows), resume=False
    )
    spool.append(SceneRows(np.zeros((len(rows), 3), dtype=np.uint8)))
    if not stay_open:
        spool.close()
    return spool


@pytest.mark.parametrize("name", ["map.tif", "é 中.x.TIFF", "a.rows1-2.tif"])
def test_all_strips_of_a_target_are_removed_and_nothing_else(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    kept = [spool_path(target), tmp_path / f".x{name}.rows0-5.tif.mmrs-rows", tmp_path / "map.txt"]
    kept.append(tmp_path / f".other-{name}.mmrs-rows")
    for path in kept:
        path.touch()
    for rows in (range(4), range(4, 9)):
        keep(target, rows)
    removed = remove_strips([target, tmp_path / "gone" / "map.tif"])
    assert sorted(removed) == sorted(
        spool_path(strip_target(target, rows)) for rows in (range(4), range(4, 9))
    )
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in kept)


def test_a_strip_that_is_held_stays(tmp_path: Path) -> None:
    target = tmp_path / "map.tif"
    spool = keep(target, range(2, 5), stay_open=True)
    assert remove_strips([target]) == []
    spool.close()
    assert remove_strips([target]) == [spool.path]


def test_one_strip_is_removed_by_its_rows(tmp_path: Path) -> None:
    target = tmp_path / "map.tif"
    keep(target, range(2, 5))
    keep(target, range(5, 6))
    remove_strip(target, range(2, 5))
    remove_strip(target, range(2, 5))
    assert os.listdir(tmp_path) == [spool_path(strip_target(target, range(5, 6))).name]
