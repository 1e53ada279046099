"""Two processes, over gloo, see the spread of all embeddings; one measures the labelled set."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmrs.ops.embedding_spread import effective_rank, embedding_spread
from tests.engine.tiny_pretraining import write_scenes
from tests.engine.two_monitors import embeddings_of, monitored
from tests.models.selfsup.tiny_moco import make_moco

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_find_what_one_finds(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(write_scenes(tmp_path / "set", noise=150))
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engine.two_monitors", str(tmp_path), root],
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
    expected = monitored(make_moco(norm="BN"), slice(None), root)
    told = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]

    everything = torch.cat([embeddings_of(step) for step in range(2)])
    for each in (*found, expected):
        (spread,), (rank,) = each["hub"]["train/spread"], each["hub"]["train/effective_rank"]
        assert spread == pytest.approx(embedding_spread(everything))
        assert rank == pytest.approx(effective_rank(everything))
    # a process alone would see half of them, which lie on one side
    assert embedding_spread(embeddings_of(0)[:8]) < 0.8 * spread

    # all 12 pictures, by the first process alone
    assert found[0]["hub"]["val/knn"] == expected["hub"]["val/knn"] != [100.0]
    assert found[0]["written"] == expected["written"]
    assert found[1]["written"] == [] and "val/knn" not in found[1]["hub"]
