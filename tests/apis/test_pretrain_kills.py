"""A pre-training run killed at any moment goes on, and is the uninterrupted one to the last bit."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mmrs.apis.resume_point import find_resume_point, is_whole
from mmrs.engine.scalar_files import read_scalars
from tests.apis.test_pretrain import small
from tests.apis.training_forks import TrainingForks
from tests.fake_data import make_geotiff

LONG = bool(os.environ.get("MMRS_LONG_TESTS"))
INTERVAL = 2
KILLS, STEPS = (28, 60) if LONG else (2, 6)
MOMENTS = ("writing", "step", "written", "step", "writing", "start", "removed", "pointed")


@pytest.fixture(scope="module")
def forks() -> Iterator[TrainingForks]:
    found = TrainingForks()
    yield found
    found.close()


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """The tiny run with checkpoints of megabytes, so that writing one takes a while."""
    root = tmp_path_factory.mktemp("killed")
    for number in range(2):
        path = root / "images" / "train" / f"s{number}.tif"
        make_geotiff(path, size_px=(64, 64), bands=3, dtype="uint8", seed=number)
    cfg = small(root, train_cfg__max_iters=STEPS)
    cfg.model.projector.hid_channels = 4096
    cfg.model.queue_len = 4  # with two processes a step takes 4 of the 8 images
    cfg.default_hooks.checkpoint.update(interval=INTERVAL, max_keep_ckpts=1)
    cfg.dump(root / "killed.py")
    return root / "killed.py"


class Folder:
    """What can be seen of a run from outside."""

    def __init__(self, folder: Path, output: Path) -> None:
        self.folder, self.output = folder, output
        self.before = self.files()

    def files(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.folder.glob("*"):
            try:
                if path.suffix == ".pth" or path.name == "last_checkpoint":
                    found[path.name] = (path.stat().st_size, path.stat().st_mtime_ns)
            except FileNotFoundError:
                continue
        return found

    def steps(self) -> list[int]:
        if not self.output.exists():
            return []
        return [int(n) for n in re.findall(rb"Iter\(train\) \[ *(\d+)/", self.output.read_bytes())]

    def printed(self) -> int:
        return self.output.stat().st_size if self.output.exists() else -1

    def saved(self, least_bytes: float) -> bool:
        """Whether so much of another checkpoint is there."""
        now = self.files().items()
        return any(
            size >= max(1, least_bytes) and (size, when) != self.before.get(name)
            for name, (size, when) in now
            if name.endswith(".pth")
        )

    def removed(self) -> bool:
        return not self.before.keys() <= self.files().keys()

    def pointed(self) -> bool:
        return self.files().get("last_checkpoint") != self.before.get("last_checkpoint")


def moment(name: str, folder: Folder, rng: np.random.Generator, size: int) -> Callable[[], bool]:
    """What to wait for before the kill."""
    if name == "writing":
        part = rng.uniform(0, 1) * size
        return lambda: folder.saved(part)
    if name == "written":
        return lambda: folder.saved(size)
    if name == "removed":
        return folder.removed
    if name == "pointed":
        return folder.pointed
    if name == "start":
        # where it is, what it prints before the first step tells
        least = rng.uniform(0, 12_000)
        return lambda: folder.printed() >= least or bool(folder.steps())
    count = int(rng.integers(1, 5))
    return lambda: len(folder.steps()) >= count


def alive(process: int) -> bool:
    """Whether it still runs; its parent has not asked for its status yet."""
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def start(forks: TrainingForks, config: Path, folder: Path, number: int, ranks: int) -> list[int]:
    argv = [str(config), "--work-dir", str(folder), "--resume"]
    shared = {}
    if ranks > 1:
        argv += ["--launcher", "pytorch"]
        shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    found = []
    for rank in range(ranks):
        env = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}
        output = folder.parent / f"{folder.name}_{number}_{rank}.txt"
        found.append(forks.start(argv, output, **env))
    return found


def run_with_kills(
    forks: TrainingForks, config: Path, folder: Path, *, kills: int, ranks: int, seed: int
) -> Counter:
    """Kill and resume, then let it end. Counts what the kills left behind."""
    rng, seen, reached = np.random.default_rng(seed), Counter(), 0
    folder.mkdir()
    size = 14_000_000  # about, until there is one
    for number in range(kills + 1):
        output = folder.parent / f"{folder.name}_{number}_0.txt"
        look = Folder(folder, output)
        children = start(forks, config, folder, number, ranks)
        if number < kills:
            name = MOMENTS[number % len(MOMENTS)]
            ready = moment(name, look, rng, size)
            while alive(children[0]) and not ready():
                time.sleep(0.0003)
            for child in children:
                os.kill(child, signal.SIGKILL)
        status = [forks.wait() for _ in children]
        told = output.read_text() if output.exists() else ""
        if number == kills or status[0] == 0:
            assert status == [0] * ranks, told
            break
        assert status == [-signal.SIGKILL] * ranks, told
        steps = look.steps()
        done = max([reached, *steps])
        whole = [path for path in folder.glob("*.pth") if is_whole(path)]
        size = max([path.stat().st_size for path in whole] or [size])
        point = find_resume_point(folder)
        at = 0 if point is None else int(point.stem.removeprefix("iter_"))
        # not behind where it was, and no more than an interval behind where it came to
        assert reached <= at and done - at <= INTERVAL, (number, name, reached, at, steps)
        assert point is None or state_of(point)["meta"]["iter"] == at
        reached = at
        pointer = folder / "last_checkpoint"
        seen["kills"] += 1
        seen[f"lost {done - at}"] += 1
        seen["half a file"] += len(list(folder.glob("*.pth"))) - len(whole)
        latest = max([int(path.stem.removeprefix("iter_")) for path in whole] or [0])
        seen["pointer behind"] += not pointer.exists() or f"iter_{latest}." not in (
            pointer.read_text()
        )
        seen["while files changed"] += name not in ("start", "step")
        seen["before the first step"] += not steps
    return seen


def state_of(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=False)


def assert_the_same(ours: Path, theirs: Path) -> None:
    ours, theirs = (state_of(folder / f"iter_{STEPS}.pth") for folder in (ours, theirs))
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    assert {"queue", "queue_ids", "queue_pointer", "key_updates"} <= ours["state_dict"].keys()
    for key, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][key], value), key
    for index, state in theirs["optimizer"]["state"].items():
        for key, value in state.items():
            assert torch.equal(ours["optimizer"]["state"][index][key], value), key
    assert ours["param_schedulers"] == theirs["param_schedulers"]


@pytest.mark.parametrize(
    "ranks",
    [1, pytest.param(2, marks=pytest.mark.skipif(not LONG, reason="MMRS_LONG_TESTS is unset"))],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="bits are told on the CPU")
def test_a_run_killed_again_and_again_is_the_uninterrupted_one(forks, config, tmp_path, ranks):
    """SIGKILL while a checkpoint is written, before and after, at the start, between steps."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_with_kills(forks, config, whole, kills=0, ranks=ranks, seed=0)
    kills = KILLS if ranks == 1 else 4
    seen = run_with_kills(forks, config, killed, kills=kills, ranks=ranks, seed=ranks)
    print(dict(seen))
    assert seen["kills"] >= 0.8 * kills
    assert_the_same(killed, whole)
    ours, theirs = (read_scalars(folder) for folder in (killed, whole))
    for name in ("loss", "top1", "lr"):
        assert ours[name][0].tolist() == list(range(1, STEPS + 1))
        np.testing.assert_array_equal(ours[name][1], theirs[name][1])
