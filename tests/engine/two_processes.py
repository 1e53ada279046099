"""Run by `test_two_processes.py`, once a process: evaluates its share and prints the scores.

python -m tests.engine.two_processes FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch.distributed
from mmengine.dist import get_dist_info
from torch.utils.data import Dataset

from mmrs.engine import BoundaryMetric, SegMetric, scene_stitcher
from mmrs.engine.seg_metric import METRIC_NAMES
from mmrs.errors import DataError
from tests.engine.metric_samples import sample, windows_of, with_classes


class Listed(Dataset):
    def __init__(self, samples: list[dict]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        return self.samples[index]


def scenes(*, logits: bool) -> list[dict]:
    """Five windows of each of three scenes: no multiple of two, so one process gets one twice."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(3):
        label = np.kron(rng.integers(0, 3, (4, 4)), np.ones((3, 3), int))
        label[rng.random(label.shape) < 0.1] = 255
        for start in [(0, 0), (4, 0), (4, 4), (0, 4), (2, 2)]:
            shape = (3, *label.shape)
            scores = rng.normal(size=shape) if logits else rng.integers(0, 3, label.shape)
            found += windows_of(scores, label, [start], 8, f"area{number}")
    return found


def contradicting() -> list[dict]:
    """Two windows, one on each process, that overlap and disagree about three pixels."""
    label = np.zeros((8, 12), int)
    windows = windows_of(label, label, [(0, 0), (0, 4)], 8)
    windows[1]["gt_sem_seg"]["data"][0, 2, 0:3] = 1
    return windows


def scores(samples: list[dict]) -> list[dict[str, float]]:
    """Of every metric, as a run evaluates: DefaultSampler's share of the samples."""
    from mmengine.dataset import DefaultSampler

    mine = [samples[i] for i in DefaultSampler(Listed(samples), shuffle=False)]
    found = []
    for stitch in (False, True):
        for metric in (
            SegMetric(score_names=METRIC_NAMES, stitch=stitch),
            BoundaryMetric(width_px=2, stitch=stitch),
        ):
            with_classes(metric)
            for one in mine:
                metric.process({}, [one])
            found.append(metric.evaluate(len(samples)))
    return found


def everything() -> dict:
    scene_stitcher.BLOCK_PX = 5
    found = {
        "logits": scores(scenes(logits=True)),
        "maps": scores(scenes(logits=False)),
        "one sample": scores([sample(np.eye(3, dtype=int), np.eye(3, dtype=int), "a_0_0_3_3")]),
    }
    try:
        scores(contradicting())
    except DataError as error:
        found["contradicting"] = str(error)
    return found


if __name__ == "__main__":
    # mmengine's init_dist asks for a GPU
    torch.distributed.init_process_group("gloo")
    rank, _ = get_dist_info()
    Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(everything()))
    torch.distributed.destroy_process_group()
