"""Ways to predict a scene, each in a process of its own; started by ``benchmarks/scenes.py``.

Reads one job a line from standard input, as JSON, and answers with what it took.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import inference_model
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import nn

import mmrs.models  # noqa: F401  registers Hi-ResNet
from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.predict import predict_scene
from mmrs.apis.window.kept_memory import keep_freed_memory
from mmrs.apis.window.window_model import SegmentorWindowModel
from mmrs.geo.palette import default_palette

WINDOW, STRIDE, CLASSES = 512, 256, 7
DEMO = Path(__file__).parents[1] / "configs" / "hiresnet" / "hiresnet_demo.py"


@MODELS.register_module()
class OneConv(nn.Module):
    """A backbone of one convolution."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CLASSES, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) -> (B, K, H, W)."""
        return [self.conv(x)]


@MODELS.register_module()
class NoHead(BaseDecodeHead):
    """Features are the logits."""

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """The last features."""
        return inputs[-1]


class ForwardTimer:
    """Time and number of windows inside of ``model.encode_decode``."""

    def __init__(self, model: Any) -> None:
        self._forward = model.encode_decode
        model.encode_decode = self
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.wall = self.cpu = 0.0
        self.windows = 0

    def __call__(self, inputs: torch.Tensor, metas: Any) -> torch.Tensor:
        """Call it, and count."""
        wall, cpu = time.perf_counter(), time.thread_time()
        logits = self._forward(inputs, metas)
        self.wall += time.perf_counter() - wall
        self.cpu += time.thread_time() - cpu
        self.windows += len(inputs)
        return logits


def build(name: str) -> tuple[Any, Config]:
    """A model with random weights, ready to predict, and its config."""
    cfg = Config.fromfile(str(DEMO))
    if name != "hiresnet":
        cfg.model.backbone = {"type": "OneConv", "kernel": {"conv1x1": 1, "conv3x3": 3}[name]}
        cfg.model.decode_head = {
            "type": "NoHead",
            "in_channels": CLASSES,
            "channels": CLASSES,
            "num_classes": CLASSES,
            "loss_decode": {"type": "CrossEntropyLoss"},
        }
    cfg.model.test_cfg = {"mode": "whole"}
    init_default_scope("mmseg")
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.cfg = Config(
        {"test_pipeline": [{"type": "LoadImageFromFile"}, {"type": "PackSegInputs"}]}
    )
    return model.eval(), cfg


def mmrs_way(model: Any, batch_size: int) -> Callable[[str, str], None]:
    """Ours."""
    window_model = SegmentorWindowModel(
        model,
        contract=ChannelContract(3, "uint8", "reversed", swaps=True),
        classes=[str(index) for index in range(CLASSES)],
        palette=default_palette(CLASSES),
        window=(WINDOW, WINDOW),
        stride=(STRIDE, STRIDE),
    )

    def run(scene: str, out: str) -> None:
        predict_scene(scene, out, window_model, batch_size=batch_size)

    return run


def slide_way(model: Any) -> Callable[[str, str], None]:
    """MMSegmentation's ``slide`` mode on the whole picture."""
    model.test_cfg = Config(
        {"mode": "slide", "crop_size": (WINDOW, WINDOW), "stride": (STRIDE, STRIDE)}
    )

    def run(scene: str, out: str) -> None:
        labels = inference_model(model, scene).pred_sem_seg.data[0].numpy().astype(np.uint8)
        with rasterio.open(scene) as dataset:
            profile = {**dataset.profile, "count": 1}
        with rasterio.open(out, "w", **profile) as dataset:
            dataset.write(labels, 1)

    return run


def inferencer_way(model: Any) -> Callable[[str, str], None]:
    """MMSegmentation's ``RSInferencer``, as it comes: one window at a time, the last one stays."""
    from mmseg.apis.remote_sense_inferencer import RSImage, RSInferencer

    from benchmarks import gdal_by_rasterio

    gdal_by_rasterio.use_it()

    class Flushed(RSInferencer):
        """Closes the map at its end, which the bindings do when it is let go."""

        def write(self, image: Any, output_path: str | None = None) -> None:
            maps = []
            create = image.create_seg_map
            image.create_seg_map = lambda path: maps.append(create(path)) or maps[0]
            super().write(image, output_path)
            maps[0].dataset.close()

    def run(scene: str, out: str) -> None:
        image = RSImage(gdal_by_rasterio.Open(scene))
        Flushed.from_model(model).run(image, (WINDOW, WINDOW), (STRIDE, STRIDE), out)

    return run


def peak_rss() -> int:
    """Largest memory of this process so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM: this needs Linux")


def measure(run: Callable[[str, str], None], timer: ForwardTimer, job: dict[str, Any]) -> Any:
    """Run a job; what it took, and of that the network."""
    timer.reset()
    wall, cpu, main = time.perf_counter(), time.process_time(), time.thread_time()
    run(job["scene"], job["out"])
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "main": time.thread_time() - main,
        "forward_wall": timer.wall,
        "forward_cpu": timer.cpu,
        "windows": timer.windows,
        "peak_rss": peak_rss(),
        "threads": threading.active_count(),
    }


def main() -> None:
    """Build the model, then take jobs until there are no more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=["mmrs", "slide", "inferencer"])
    parser.add_argument("model", choices=["conv1x1", "conv3x3", "hiresnet"])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--keep-memory", action="store_true")
    args = parser.parse_args()
    # what libraries print must not come between the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if args.keep_memory:
        keep_freed_memory()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model, _ = build(args.model)
    timer = ForwardTimer(model)
    if args.way == "mmrs":
        run = mmrs_way(model, args.batch_size)
    else:
        run = {"slide": slide_way, "inferencer": inferencer_way}[args.way](model)
    print(json.dumps({"peak_rss": peak_rss()}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(run, timer, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
