"""Scenes shared by processes: the maps of a single one, and the first error of any.

With MMRS_LONG_TESTS=1: 30 kills instead of two.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.apis.predict import predict_scenes
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.apis.scene.scene_shares import share_scenes
from mmrs.apis.scene.scene_stream import Scene
from mmrs.geo.windows import plan_windows
from tests.apis.predict_server import SharpModel
from tests.fake_data import make_geotiff

ROOT = Path(__file__).resolve().parents[3]
HOW = {"window": 16, "stride": 10, "batch_size": 2}
KILLS = 30 if os.environ.get("MMRS_LONG_TESTS") else 2
SIZES = [(30, 40), (90, 33), (16, 16), (25, 70), (64, 20)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scenes and a larger one, with the maps of a single process."""
    folder = tmp_path_factory.mktemp("scenes")
    for index, size in enumerate([*SIZES, (200, 60)]):
        make_geotiff(folder / f"{index}.tif", size_px=size, seed=index, nodata=0, nodata_columns=3)
    for name, pairs in (
        ("five", five(folder, folder / "five")),
        ("one", one(folder, folder / "one")),
    ):
        assert predict_scenes(pairs, SharpModel(), outputs=SceneOutputs(entropy=True), **HOW), name
    return folder


def five(folder: Path, out: Path) -> list[tuple[str, str]]:
    return [(str(folder / f"{i}.tif"), str(out / f"{i}.tif")) for i in range(5)]


def one(folder: Path, out: Path) -> list[tuple[str, str]]:
    return [(str(folder / "5.tif"), str(out / "5.tif"))]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()} if out.exists() else {}


class Ranks:
    """Starts processes that work together, all of them forked from one that has PyTorch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.apis.rank_child"],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                "TORCH_CPP_LOG_LEVEL": "ERROR",  # as `join_ranks` sets it before PyTorch is there
            },
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def start(self, size: int, pairs: list, **order: Any) -> None:
        """Start processes; ``pids`` are theirs."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.count += 1
        self.log = self.folder / str(self.count)
        order = {
            "pairs": pairs, "size": size, "port": port, "folder": str(self.log), **order,
            "how": {**HOW, **order.get("how", {})},
        }  # fmt: skip
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self.pids = [int(pid) for pid in self.process.stdout.readline().split()[1:]]

    def next_end(self) -> tuple[int, int]:
        """The next process that ends, and its status."""
        _, rank, status = self.process.stdout.readline().split()
        return int(rank), int(status)

    def told(self, kind: str) -> list[str]:
        """What each process printed."""
        return [(self.log / f"{rank}.{kind}").read_text() for rank in range(len(self.pids))]

    def run(self, size: int, pairs: list, **order: Any) -> list[int]:
        """Start processes and wait for their statuses."""
        self.start(size, pairs, **order)
        ended = dict(self.next_end() for _ in range(size))
        return [ended[rank] for rank in range(size)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    ranks = Ranks(tmp_path_factory.mktemp("told"))
    yield ranks
    ranks.process.stdin.close()
    ranks.process.wait(60)
    ranks.process.stdout.close()


@pytest.mark.parametrize(("size", "kind"), [(2, five), (3, one)])
def test_the_maps_are_those_of_one_process(
    ranks: Ranks, scenes: Path, tmp_path: Path, size: int, kind: Callable
):
    status = ranks.run(size, kind(scenes, tmp_path))
    out, told = ranks.told("out"), ranks.told("err")
    assert status == [0] * size, told
    assert contents(tmp_path) == contents(scenes / kind.__name__)
    # only the first process talks
    assert len(out[0].splitlines()) == len(kind(scenes, tmp_path))
    assert out[1:] == told[1:] == [""] * (size - 1)


@pytest.mark.parametrize("trouble", ["data", "bug"])
def test_an_error_of_one_process_ends_all_with_its_line(
    ranks: Ranks, scenes: Path, tmp_path: Path, trouble: str
):
    (tmp_path / "5.tif").write_text("old")
    status, told = ranks.run(2, one(scenes, tmp_path), trouble={"1": trouble}), ranks.told("err")
    assert status == [1, 1]
    line = {
        "data": "error: x.tif: cannot be read. Fix: fetch it again",
        "bug": "error: internal error in process 1: RuntimeError: boom",
    }[trouble]
    lines = told[0].splitlines()
    assert lines.count(line) == 1 and told[1] == "", told
    assert all(line.startswith("error: ") or "rows are kept" in line for line in lines)
    assert (tmp_path / "5.tif").read_text() == "old"
    assert all(name.endswith((".mmrs-rows", "5.tif")) for name in os.listdir(tmp_path))


@pytest.mark.parametrize(("trouble", "rank"), [("kill", 1), ("kill", 0), ("stop", 1)])
def test_a_lost_process_ends_all(
    ranks: Ranks, scenes: Path, tmp_path: Path, trouble: str, rank: int
):
    seconds = {"LOST_SECONDS": 2.0, "LEAVE_SECONDS": 2.0, "BEAT_SECONDS": 0.2}
    begin = time.monotonic()
    ranks.start(2, one(scenes, tmp_path), trouble={str(rank): trouble}, seconds=seconds)
    ended = [ranks.next_end()]
    if trouble == "stop":
        os.kill(ranks.pids[rank], signal.SIGKILL)
    ended.append(ranks.next_end())
    assert sorted(ended) == sorted([(rank, -signal.SIGKILL), (1 - rank, 1)])
    assert time.monotonic() - begin < 30
    told = ranks.told("err")[1 - rank].splitlines()
    assert [line for line in told if line.startswith("error: ")] == [
        "error: process 1 is lost: no sign of life"
        if rank
        else "error: process 0 is lost: nothing is heard of it any more"
    ]
    assert not any(".part" in name or name == "5.tif" for name in os.listdir(tmp_path))


@pytest.mark.parametrize("size", [2, 3, 1])
def test_another_number_of_processes_goes_on_where_two_were_ended(
    ranks: Ranks, scenes: Path, tmp_path: Path, size: int
):
    pairs = one(scenes, tmp_path)
    assert ranks.run(2, pairs, trouble={"1": "data"}, after=20) == [1, 1], ranks.told("err")
    kept = [name for name in os.listdir(tmp_path) if name.endswith(".mmrs-rows")]
    assert len(kept) == 2
    if size == 1:
        predict_scenes(pairs, SharpModel(), outputs=SceneOutputs(entropy=True), resume=True, **HOW)
    else:
        assert ranks.run(size, pairs, how={"resume": True}) == [0] * size, ranks.told("err")
    assert contents(tmp_path) == contents(scenes / "one")


def test_kills_of_any_process_leave_old_or_new_files_and_a_resume_changes_no_pixel(
    ranks: Ranks, scenes: Path, tmp_path: Path
):
    rng = random.Random(7)
    seconds = {"LOST_SECONDS": 1.5, "LEAVE_SECONDS": 1.0, "BEAT_SECONDS": 0.1}
    new, killed = contents(scenes / "five"), 0
    for number in range(KILLS):
        out = tmp_path / str(number)
        out.mkdir()
        for name in new:
            (out / name).write_bytes(b"old")
        pairs = five(scenes, out)
        ranks.start(3, pairs, seconds=seconds, slow=0.004)
        log, goal = ranks.log / f"{number % 3}.out", rng.randrange(120)
        deadline = time.monotonic() + 4  # it may have less to do
        while time.monotonic() < deadline:
            if log.exists() and log.read_text().count("at ") >= goal:
                break
            time.sleep(0.003)
        with suppress(ProcessLookupError):
            os.kill(ranks.pids[number % 3], signal.SIGKILL)
        ended = dict(ranks.next_end() for _ in range(3))
        killed += ended[number % 3] == -signal.SIGKILL
        found = contents(out)
        assert all(found[name] in (b"old", new[name]) for name in new)
        assert all(name.startswith(".") for name in found.keys() - new.keys())
        size = rng.choice([1, 2, 3])
        assert ranks.run(size, pairs, how={"resume": True}) == [0] * size, ranks.told("err")
        assert contents(out) == new
    print(f"{killed} of {KILLS} were killed")
    assert killed > KILLS // 2


def test_a_damaged_scene_is_skipped_by_all(ranks: Ranks, scenes: Path, tmp_path: Path):
    damaged = tmp_path / "in.tif"
    make_geotiff(damaged, size_px=(200, 60))
    damaged.write_bytes(damaged.read_bytes()[:-9000])
    pairs = [*five(scenes, tmp_path / "out")[:2], (str(damaged), str(tmp_path / "out" / "x.tif"))]
    assert ranks.run(2, pairs, how={"skip_bad": True}) == [0, 0], ranks.told("err")
    assert len(ranks.told("out")[0].splitlines()) == 2
    told = ranks.told("err")[0]
    assert told.count("warning: skipped: ") == 1 and "in.tif: cannot be read" in told
    found = {name.partition("_")[0].partition(".")[0] for name in contents(tmp_path / "out")}
    assert found == {"0", "1"}


def test_processes_that_do_not_come_are_told(ranks: Ranks, scenes: Path, tmp_path: Path):
    status = ranks.run(1, one(scenes, tmp_path), world=2, seconds={"JOIN_SECONDS": 1.0})
    (told,) = ranks.told("err")
    assert status == [1]
    assert len(told.splitlines()) == 1
    assert told.startswith("error: 127.0.0.1:") and "the processes do not find each other" in told
    assert os.listdir(tmp_path) == []


def test_sigterm_to_one_process_ends_all(ranks: Ranks, scenes: Path, tmp_path: Path):
    ranks.start(2, one(scenes, tmp_path))
    while not any(name.endswith(".mmrs-rows") for name in os.listdir(tmp_path)):
        time.sleep(0.01)
    os.kill(ranks.pids[0], signal.SIGTERM)
    assert dict([ranks.next_end(), ranks.next_end()]) == {0: 143, 1: 1}
    assert "terminated" in ranks.told("err")[0] and ranks.told("err")[1] == ""
    assert not (tmp_path / "5.tif").exists()


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=8),
    num_ranks=st.integers(1, 9),
    finished=st.sets(st.integers(0, 7)),
    cut=st.booleans(),
)
def test_shares_cover_every_row_once_in_the_order_of_processes(sizes, num_ranks, finished, cut):
    scenes = [
        Scene(Path("x"), plan_windows(*size, 7, 4), range(size[0]), Path(f"{index}"))
        for index, size in enumerate(sizes)
    ]
    finished &= set(range(len(scenes)))
    strips = share_scenes(scenes, finished, num_ranks, cut=cut)
    for index, scene in enumerate(scenes):
        rows = [row for strip in strips[index] for row in strip.rows]
        assert rows == ([] if index in finished else list(range(scene.plan.height)))
        assert all(strip.scene == index for strip in strips[index])
        assert cut or len(strips[index]) <= 1
    ranks = [strip.rank for of_scene in strips for strip in of_scene]
    assert ranks == sorted(ranks) and all(0 <= rank < num_ranks for rank in ranks)
    for of_scene in strips:
        assert len({strip.rank for strip in of_scene}) == len(of_scene)
    work = [0] * num_ranks
    for strip in (strip for of_scene in strips for strip in of_scene):
        work[strip.rank] += len(strip.rows)
    if cut and len(scenes) == 1 and not finished and sizes[0][0] > 20 * num_ranks:
        assert max(work) < 2 * sum(work) / num_ranks
