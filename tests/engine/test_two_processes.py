"""Metrics of two processes, over gloo, are those of one: to the last bit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.engine import two_processes

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_give_the_scores_of_one(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engine.two_processes", str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            },
        )
        for rank in range(2)
    ]
    monkeypatch.setattr(two_processes.scene_stitcher, "BLOCK_PX", 5)
    expected = json.loads(json.dumps(two_processes.everything()))
    told = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    told = [each.pop("contradicting") for each in (*found, expected)]
    assert found[0] == found[1] == expected
    # stitched or not, and with logits or without: four different protocols, so four numbers
    kinds = {(kind, number) for kind in ("logits", "maps") for number in (0, 2)}
    assert len({expected[kind][number]["mIoU"] for kind, number in kinds}) == 4
    assert told[0] == told[1] and "contradict each other in area1 (3 pixels)" in told[0]
    assert "in another window of area1" in told[2]
