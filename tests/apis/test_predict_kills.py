"""Whatever ends a prediction: old or complete new files, and a resume that changes no pixel.

With MMRS_LONG_TESTS=1: 100 kills and 50 full disks instead of a few.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrs.geo.raster import Raster
from tests.apis.predict_server import HOW, OUTPUTS, SharpModel
from tests.fake_data import make_geotiff

ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("MMRS_LONG_TESTS"))
KILLS, LIMITS = (100, 50) if LONG else (6, 5)
SLOW_SECONDS = 0.004


class Server:
    """The process that forks the processes to kill."""

    def __init__(self) -> None:
        # a pipe: a file would be under the limit of the disk test
        self.stderr, write_end = os.pipe()
        os.set_blocking(self.stderr, False)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.apis.predict_server"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=write_end,
            text=True, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        os.close(write_end)
        assert self.line() == "ready"

    def line(self) -> str:
        return self.process.stdout.readline().rstrip("\n")

    def start(self, pairs: list, **order: Any) -> int:
        order = {"pairs": [[str(i), str(o)] for i, o in pairs], "resume": False, **order}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        pid = None
        self.places: list[str] = []
        while pid is None:
            word, _, rest = self.line().partition(" ")
            if word == "at":
                self.places.append(rest)
            elif word == "pid":
                pid = int(rest)
        return pid

    def next_place(self) -> str | int:
        """Where the process is next, or its status when it has ended."""
        word, _, rest = self.line().partition(" ")
        return rest if word == "at" else int(rest)

    def wait(self) -> int:
        while isinstance(place := self.next_place(), str):
            self.places.append(place)
        return place

    def predict(self, pairs: list, **order: Any) -> int:
        self.start(pairs, **order)
        return self.wait()

    def told(self) -> str:
        """What was written to standard error since the last call."""
        try:
            return os.read(self.stderr, 2**20).decode()
        except BlockingIOError:
            return ""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.process.stdin.close()
    server.process.wait(60)
    server.process.stdout.close()
    os.close(server.stderr)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """Two scenes, and their maps as an uninterrupted run makes them."""
    folder = tmp_path_factory.mktemp("scenes")
    for index, size in enumerate([(150, 90), (70, 60)]):
        make_geotiff(folder / f"{index}.tif", size_px=size, seed=index, nodata=0, nodata_columns=9)
    assert server.predict(pairs_into(folder, folder / "whole")) == 0, server.told()
    return folder


def pairs_into(folder: Path, out: Path) -> list[tuple[Path, Path]]:
    return [(folder / f"{index}.tif", out / f"{index}.tif") for index in range(2)]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def write_old(out: Path, whole: Path) -> dict[str, bytes]:
    """Files of an older run where the new ones will be."""
    out.mkdir()
    for name in contents(whole):
        (out / name).write_bytes(b"old " + name.encode())
    return contents(out)


def check_resumed(server: Server, scenes: Path, out: Path) -> None:
    assert server.predict(pairs_into(scenes, out), resume=True) == 0, server.told()
    # the same bytes, and nothing beside them
    assert contents(out) == contents(scenes / "whole")


def check_old_or_new(out: Path, old: dict[str, bytes], new: dict[str, bytes], moment: str) -> int:
    """Every published file is one or the other; returns how many are new."""
    found = contents(out)
    assert old.keys() <= found.keys(), moment
    for name in old:
        assert found[name] in (old[name], new[name]), f"{name}, killed at {moment}"
    assert all(name.startswith(".") for name in found.keys() - old.keys()), moment
    return sum(found[name] == new[name] for name in old)


def test_the_uninterrupted_map_is_the_one_of_predict_scenes(scenes: Path, tmp_path: Path):
    from mmrs.apis.predict import predict_scenes

    predict_scenes(pairs_into(scenes, tmp_path), SharpModel(), outputs=OUTPUTS, **HOW)
    assert contents(tmp_path) == contents(scenes / "whole")
    with Raster(tmp_path / "0.tif") as raster:
        assert set(np.unique(raster.read())) == {0, 1, 2, 255}


def test_kills_leave_old_or_new_files_and_a_resume_changes_no_pixel(
    server: Server, scenes: Path, tmp_path: Path
):
    rng = random.Random(5)
    begin = time.monotonic()
    assert server.predict(pairs_into(scenes, tmp_path / "dry"), slow=SLOW_SECONDS) == 0
    duration = time.monotonic() - begin
    places = len(server.places)
    new, outcomes = contents(scenes / "whole"), Counter()
    for number in range(KILLS):
        out = tmp_path / f"out{number}"
        old = write_old(out, scenes / "whole")
        pid = server.start(pairs_into(scenes, out), slow=SLOW_SECONDS)
        moment: str | int = "a random time"
        if number % 2:
            time.sleep(rng.random() * duration)
        else:
            for _ in range(rng.randrange(places - len(server.places))):
                moment = server.next_place()
                if isinstance(moment, int):
                    break
            time.sleep(rng.random() * SLOW_SECONDS)
        if not isinstance(moment, int):
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(pid, signal.SIGKILL)
            server.wait()
        num_new = check_old_or_new(out, old, new, str(moment))
        kind = "in a place" if number % 2 == 0 else "at a time"
        outcomes[f"{kind}: {['old', 'mixed', 'new'][(num_new > 0) + (num_new == len(new))]}"] += 1
        check_resumed(server, scenes, out)
        shutil.rmtree(out)
    assert sum(outcomes.values()) == KILLS
    print(dict(outcomes))
    if LONG:
        assert len(outcomes) >= 4, outcomes


def test_a_full_disk_is_one_line_and_leaves_the_old_files(
    server: Server, scenes: Path, tmp_path: Path
):
    rng = random.Random(6)
    new = contents(scenes / "whole")
    largest = max(map(len, new.values()))
    server.told()
    failed = 0
    for number in range(LIMITS):
        out = tmp_path / f"out{number}"
        old = write_old(out, scenes / "whole")
        limit = rng.randrange(largest) if number else 0
        status = server.predict(pairs_into(scenes, out), limit=limit)
        lines = server.told().strip().splitlines()
        found = check_old_or_new(out, old, new, f"limit {limit}")
        assert status == 1 or found == len(new)
        if status:
            failed += 1
            errors = [line for line in lines if line.startswith("error: ")]
            assert len(errors) == 1 and "cannot be" in errors[0], lines
            assert not any("Traceback" in line for line in lines)
            assert not any(".part" in name for name in contents(out))
        check_resumed(server, scenes, out)
        shutil.rmtree(out)
    print(f"{failed} of {LIMITS} failed")
    assert failed >= LIMITS // 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_the_run_with_their_status_and_keep_rows(
    server: Server, scenes: Path, tmp_path: Path, number: signal.Signals, status: int
):
    out = tmp_path / "out"
    old = write_old(out, scenes / "whole")
    pid = server.start(pairs_into(scenes, out), pause=0.15)
    spool = out / ".0.tif.mmrs-rows"
    while not spool.exists() or spool.stat().st_size < 600:
        time.sleep(0.01)
    begin = time.monotonic()
    os.kill(pid, number)
    assert server.wait() == status
    assert time.monotonic() - begin < 5
    assert check_old_or_new(out, old, contents(scenes / "whole"), "signal") == 0
    assert spool.exists()
    told = server.told()
    assert "rows are kept; --resume goes on from there" in told
    assert {"terminated", "interrupted"} & set(told.splitlines())
    assert "Traceback" not in told
    check_resumed(server, scenes, out)


def test_a_signal_does_not_wait_for_files_that_take_long(
    server: Server, scenes: Path, tmp_path: Path
):
    out = tmp_path / "out"
    old = write_old(out, scenes / "whole")
    # the files are being written, each step of it slow
    pid = server.start(pairs_into(scenes, out), slow=0.3, slow_at=["write", "close"], grace=0.5)
    while server.next_place() != "end of write":
        pass
    begin = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    assert server.wait() == 143
    assert time.monotonic() - begin < 2
    check_old_or_new(out, old, contents(scenes / "whole"), "writing")
    check_resumed(server, scenes, out)


def test_a_finished_scene_is_not_predicted_again(server: Server, scenes: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert server.predict(pairs_into(scenes, out)) == 0
    for lost, left in (("1.tif", "0"), ("0_confidence.tif", "1")):
        stamps = {path: path.stat().st_mtime_ns for path in out.glob(f"{left}*")}
        (out / lost).unlink()
        check_resumed(server, scenes, out)
        assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    stamps = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    os.utime(scenes / "0.tif")
    assert server.predict(pairs_into(scenes, out), resume=True) == 0
    changed = [path.name for path in stamps if path.stat().st_mtime_ns != stamps[path]]
    # its image is another
    assert sorted(changed) == ["0.geojson", "0.tif", "0_areas.csv", "0_confidence.tif"]
