"""The demo, from nothing to a map: imagery, baselines, training, scores, a georeferenced map."""

from __future__ import annotations

import importlib
import io
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from rich.console import Console

import mmrs
from mmrs.apis.config.config_load import load_config
from mmrs.apis.demo.demo_baselines import ColourBaseline, MajorityBaseline
from mmrs.apis.demo.demo_data import CLASSES, DemoData, DemoSizes, make_demo_data
from mmrs.apis.demo.demo_report import (
    REQUIRED_MARGIN,
    Column,
    Pixels,
    as_json,
    margin,
    read_tile,
    score_map,
    score_tiles,
    table,
)
from mmrs.apis.predict import predict_scene
from mmrs.apis.progress import progress_bar
from mmrs.apis.train import train
from mmrs.apis.window.window_model import SegmentorWindowModel, load_window_model
from mmrs.errors import ConfigError, EnvironmentError
from mmrs.geo.raster import Raster
from mmrs.registry import HOOKS

CONFIG = "configs/hiresnet/hiresnet_demo.py"
WINDOW_PX = 256  # of the scene: the size of the tiles

Tiles = list[tuple[Pixels, Pixels]]


@HOOKS.register_module()
class DemoProgressHook(Hook):
    """Shows the steps of training and the loss instead of MMEngine's log."""

    priority = "VERY_LOW"

    def before_train(self, runner: Any) -> None:
        self._stack = ExitStack()
        self._update = self._stack.enter_context(progress_bar("      steps", console=Console()))
        self._loss = float("nan")

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        loss = float(outputs["loss"].detach())
        # a running mean: single batches jump
        self._loss = loss if np.isnan(self._loss) else 0.95 * self._loss + 0.05 * loss
        self._update(runner.iter + 1, runner.max_iters, f"loss {self._loss:.3f}")

    def after_train(self, runner: Any) -> None:
        self._stack.close()


@dataclass(frozen=True)
class DemoResult:
    """What a run of the demo reached and wrote.

    Attributes:
        tiles: Scores on the test tiles: both baselines, then the network.
        scene: Scores on the scene, likewise.
        margin: Points of mIoU of the network over the better baseline, on the test tiles.
        files: What was written, by its meaning.
    """

    tiles: Sequence[Column]
    scene: Sequence[Column]
    margin: float
    files: dict[str, Path]

    @property
    def is_kept(self) -> bool:
        """Whether the network beats both baselines by the margin that the demo promises."""
        return self.margin >= REQUIRED_MARGIN


def run_demo(
    out: str | Path = "demo_out",
    *,
    seed: int = 0,
    iterations: int | None = None,
    sizes: DemoSizes | None = None,
    console: Console | None = None,
) -> DemoResult:
    """Make imagery, train a small Hi-ResNet, compare it with two baselines, map a scene.

    Args:
        out: Folder for everything; files of an earlier run are replaced.
        seed: Of the imagery, the weights and the order of training.
        iterations: Training steps; the config's by default.
        sizes: How much imagery.
        console: Where the report goes; standard output by default.

    Raises:
        MmrsError: If something is missing on this machine.
    """
    out, console = Path(out), console or Console()
    _import_datasets_silently()
    start = time.monotonic()
    console.print("[bold]1/5[/]   Making imagery: fields, forest, water, roads, houses")
    with progress_bar("      areas", console=console) as update:
        data = make_demo_data(out, seed=seed, sizes=sizes, progress=update)
    train_tiles, val_tiles = ([read_tile(*t) for t in data.tiles(s)] for s in ("train", "val"))
    console.print(f"[bold]2/5[/]   Two baselines on {len(train_tiles)} training tiles")
    majority = MajorityBaseline(len(CLASSES)).fit(train_tiles)
    colour = ColourBaseline(len(CLASSES)).fit(train_tiles)
    cfg = demo_config(data, out / "train", seed=seed, iterations=iterations)
    steps = cfg.train_cfg.max_iters
    console.print(f"[bold]3/5[/]   Training a small Hi-ResNet with its whole loss, {steps} steps")
    train(cfg)
    checkpoint = out / "train" / f"iter_{steps}.pth"
    model = load_window_model(cfg, checkpoint)
    console.print(f"[bold]4/5[/]   Testing on {len(val_tiles)} tiles of places never seen")
    tiles = [
        score_tiles("majority class", majority.predict, val_tiles),
        score_tiles("colour alone", colour.predict, val_tiles),
        score_tiles("Hi-ResNet", _predictor(model), val_tiles),
    ]
    files = {
        "class map": out / "class_map.tif",
        "picture": out / "overview.png",
        "scene": data.scene,
        "checkpoint": checkpoint,
        "numbers": out / "results.json",
    }
    console.print("[bold]5/5[/]   Mapping a scene of another place")
    with progress_bar("      windows", console=console) as update:
        predict_scene(
            data.scene,
            files["class map"],
            model,
            window=WINDOW_PX,
            overlay=files["picture"],
            progress=update,
        )
    scene = _score_scene(data, files["class map"], majority, colour)
    result = DemoResult(tiles, scene, margin(tiles[-1], tiles[:-1]), files)
    _write_numbers(result, seed=seed, steps=steps, seconds=time.monotonic() - start)
    _report(result, console, time.monotonic() - start)
    return result


def demo_config(
    data: DemoData, work_dir: Path, *, seed: int, iterations: int | None = None
) -> Config:
    """The demo's config, pointed at the data that was made and made quiet.

    Args:
        data: The data set.
        work_dir: Folder for checkpoints and logs.
        seed: Of the weights and the order of training.
        iterations: Training steps; the schedule is fitted to them.
    """
    cfg = load_config(_find_config())
    for split in ("train", "val", "test"):
        cfg[f"{split}_dataloader"].dataset.data_root = str(data.root)
    steps = cfg.train_cfg.max_iters if iterations is None else iterations
    if steps < 2:
        raise ConfigError(f"iterations must be >= 2, got {steps}", fix="leave it out, or take more")
    warmup = max(1, min(cfg.warmup_iters, steps // 4))
    cfg.param_scheduler[0].end = warmup
    cfg.param_scheduler[1].update(begin=warmup, end=steps, T_max=max(1, steps - warmup))
    # tested after training, beside the baselines
    cfg.train_cfg.update(max_iters=steps, val_interval=steps + 1)
    cfg.default_hooks.checkpoint.interval = steps
    cfg.custom_hooks = [{"type": "mmrs.DemoProgressHook"}]
    cfg.randomness = {"seed": seed}
    cfg.log_level = "ERROR"
    cfg.work_dir = str(work_dir)
    return cfg


def _import_datasets_silently() -> None:
    # MMSegmentation prints here that an optional package of its maintainer is not installed
    with redirect_stdout(io.StringIO()):
        importlib.import_module("mmseg.datasets")


def _find_config() -> Path:
    package = Path(mmrs.__file__).parent
    for root in (package.parent, package / ".mim"):
        if (root / CONFIG).is_file():
            return root / CONFIG
    raise EnvironmentError(
        "this installation of mmrs lacks its configs", where=CONFIG, fix="install mmrs again"
    )


def _predictor(model: SegmentorWindowModel) -> Any:
    return lambda image: model(image[None])[0].argmax(axis=0).astype(np.uint8)


def _score_scene(
    data: DemoData, class_map: Path, majority: MajorityBaseline, colour: ColourBaseline
) -> list[Column]:
    with Raster(data.scene) as scene, Raster(data.scene_labels) as truth:
        tile = [(scene.read(), truth.read()[..., 0])]
    return [
        score_tiles("majority class", majority.predict, tile),
        score_tiles("colour alone", colour.predict, tile),
        score_map("Hi-ResNet", class_map, data.scene_labels),
    ]


def _write_numbers(result: DemoResult, *, seed: int, steps: int, seconds: float) -> None:
    times = os.times()
    numbers = {
        "seed": seed,
        "steps": steps,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(times.user + times.system, 1),
        "margin": round(result.margin, 2),
        "test_tiles": as_json(result.tiles),
        "scene": as_json(result.scene),
    }
    result.files["numbers"].write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


def _report(result: DemoResult, console: Console, seconds: float) -> None:
    console.print()
    console.print(table("Test tiles", result.tiles))
    console.print(table("Scene", result.scene))
    side = "above" if result.margin >= 0 else "below"
    console.print(
        f"On the test tiles the network is {abs(result.margin):.1f} points of mean IoU {side} the "
        f"better baseline.\nDone in {seconds:.0f} s. Written:"
    )
    for meaning, path in result.files.items():
        console.print(f"  {meaning:<11} {os.path.relpath(path)}", highlight=False, soft_wrap=True)
