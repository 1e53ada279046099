"""Starts processes that predict scenes together, for `test_scene_ranks.py`, by forking itself.

python -m tests.apis.rank_child

A line of JSON in, an order; lines out: ``pids N N ...``, then ``end RANK STATUS`` for each process
as it ends.  What a process prints is in ``RANK.out`` and ``RANK.err`` of the order's folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed

from mmrs.apis.cli import run
from mmrs.apis.predict import predict_scenes
from mmrs.apis.predict_command import quiet_but_first
from mmrs.apis.scene import rank_group, rank_join
from mmrs.apis.scene.end_on_signals import end_on_signals
from mmrs.apis.scene.scene_ranks import run_on_ranks
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.errors import DataError
from tests.apis.predict_server import SharpModel, make_slow, tell

assert torch.distributed.is_available()  # imported here, so that it is not in every process


class TroubledModel(SharpModel):
    """Fails, dies or hangs after a number of batches."""

    def __init__(self, trouble: str | None, after: int) -> None:
        super().__init__(pause=0.005)
        self.trouble, self.left = trouble, after

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.left -= 1
        if self.left < 0:
            if self.trouble == "data":
                raise DataError("cannot be read", where="x.tif", fix="fetch it again")
            if self.trouble == "bug":
                raise RuntimeError("boom")
            if self.trouble == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
        return super().__call__(windows)


def predict(order: dict[str, Any], rank: int) -> int:
    """Be one of the processes of an order."""

    def main(_: Any) -> None:
        for name, value in order.get("seconds", {}).items():
            home = rank_join if hasattr(rank_join, name) else rank_group
            assert hasattr(home, name), name
            setattr(home, name, value)
        if order.get("slow"):
            make_slow(order["slow"])
        model = TroubledModel(order.get("trouble", {}).get(str(rank)), order.get("after", 3))
        with end_on_signals(), rank_join.join_ranks() as group:
            quiet_but_first(group)
            written = predict_scenes(
                order["pairs"],
                model,
                run=partial(run_on_ranks, group),
                outputs=SceneOutputs(entropy=True),
                **order["how"],
            )
        for scene in written:
            print(scene.path, *scene.pixels, scene.nodata_pixels)

    return run(main, [])


def start(order: dict[str, Any], rank: int) -> int:
    """Fork a process; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(f"{order['folder']}/{rank}.{name}", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(file, number)
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(order.get("world", order["size"])),
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(order["port"]),
        )  # fmt: skip
        status = predict(order, rank)
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve() -> None:
    """Carry out the orders of standard input."""
    tell("ready")
    for line in sys.stdin:
        order = json.loads(line)
        Path(order["folder"]).mkdir()
        pids = [start(order, rank) for rank in range(order["size"])]
        tell(f"pids {' '.join(map(str, pids))}")
        for _ in pids:
            pid, status = os.wait()
            tell(f"end {pids.index(pid)} {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    serve()
