"""Temporary files of processes that are gone are removed, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmrs.geo.atomic import atomic_path
from mmrs.geo.maps.leftovers import remove_leftovers

WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from mmrs.geo.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    for name in (temporary, f"{temporary}.aux.xml", temporary.with_suffix(".base.tif")):
        Path(name).write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "é. map.tif"


def write_half(target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_DIE, str(target)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_files_of_a_killed_process_go_and_those_of_a_living_one_stay(
    target: Path,
) -> None:
    process = write_half(target)
    assert len(os.listdir(target.parent)) == 3
    assert remove_leftovers([target]) == []
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(remove_leftovers([target, target.with_suffix(".gpkg")])) == 3
    assert os.listdir(target.parent) == []


@pytest.mark.parametrize(
    "stem", ["S2A_MSIL2A_20230601T101601_N0509_R065_T33UUP_20230601T162359", "中" * 60]
)
def test_long_names_of_products_are_known_too(tmp_path: Path, stem: str) -> None:
    target = tmp_path / f"{stem}.tif"
    with atomic_path(target) as temporary:
        other = f"{temporary.stem}".replace(f".{os.getpid()}-", ".4999999-")
        temporary.with_name(f"{other}.base.tif.aux.xml").write_text("half")
        temporary.write_text("whole")
    assert len(remove_leftovers([target])) == 1
    assert os.listdir(tmp_path) == [target.name]


def test_nothing_else_is_removed(target: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [
        f".other.{dead.pid}-0123abcd.part.tif",
        f".é. map.x.{dead.pid}-0123abcd.part.tif",
        f".é. map.{dead.pid}-0123abc.part.tif",
        f"é. map.{dead.pid}-0123abcd.part.tif",
        f".é. map.{dead.pid}-0123abcd.tif",
        ".é. map.tif.mmrs-rows",
        f".{'y' * 200}.{dead.pid}-0123abcd.part.tif",
        "é. map.tif",
    ]
    for name in kept:
        (target.parent / name).touch()
    (target.parent / f".é. map.{dead.pid}-0123abcd.part").mkdir()
    kept.append(f".é. map.{dead.pid}-0123abcd.part")
    long = target.with_name(f"{'y' * 210}.tif")
    assert remove_leftovers([target, long, target.parent / "gone" / "x.tif"]) == []
    assert sorted(os.listdir(target.parent)) == sorted(kept)


def test_a_file_of_this_process_number_is_judged_by_its_age(target: Path) -> None:
    path = target.with_name(f".é. map.{os.getpid()}-0123abcd.part.tif")
    path.touch()
    assert remove_leftovers([target]) == []
    os.utime(path, (0, time.time() - 86_400))
    assert remove_leftovers([target]) == [path]
