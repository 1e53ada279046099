"""A pre-training run of a few steps, and a labelled set of pictures that colour tells apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from PIL import Image
from torch.utils.data import Dataset

from tests.models.selfsup.tiny_moco import make_moco

COLOURS = {"field": (20, 200, 20), "river": (20, 20, 200), "town": (200, 20, 20)}


def write_scenes(root: Path, *, each: int = 4, noise: int = 20) -> Path:
    """Folders of PNGs of 8 x 8 pixels: a colour for each class, and noise."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(each):
            # of the picture, and of each pixel
            shift = rng.integers(-noise, noise + 1, 3)
            pixels = np.array(colour) + shift + rng.integers(-noise, noise + 1, (8, 8, 3))
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(root / name / f"{number}.png")
    return root


def pack(results: dict) -> dict:
    """What MMPreTrain's PackInputs does, without loading all of it."""
    pixels = torch.from_numpy(results["img"]).permute(2, 0, 1).float() / 255
    return {"inputs": pixels, "data_samples": BaseDataElement(gt_label=results["gt_label"])}


def pack_with_draws(results: dict) -> dict:
    """As `pack`, and draws from every generator, as random transforms do."""
    np.random.random(), torch.rand(1)
    return pack(results)


def scenes(root: Path, **options: Any) -> dict:
    settings = {"type": "mmrs.SceneFoldersDataset", "data_root": str(root), "pipeline": [pack]}
    return {**settings, **options}


class Views(Dataset):
    """Two noisy views of each of 16 images, by the global generator."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict:
        views = [torch.randn(3, 8, 8) + index for _ in range(2)]
        return {"inputs": views, "data_samples": BaseDataElement(metainfo={"image_id": index})}


def make_runner(work_dir: Any, hooks: list, *, steps: int = 6, **options: Any) -> Runner:
    """A Runner of a tiny MoCo with BatchNorm, which logs every second step."""
    settings = dict(
        model=make_moco(norm="BN"),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Views(),
            batch_size=4,
            num_workers=0,
            sampler=dict(type="InfiniteSampler"),
            collate_fn=dict(type="default_collate"),
        ),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=steps),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=2, log_metric_by_epoch=False),
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=4),
        ),
        custom_hooks=hooks,
        log_processor=dict(by_epoch=False),
        visualizer=dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")]),
        randomness=dict(seed=0),
        # named by the second otherwise
        experiment_name=f"tiny_{np.random.default_rng().integers(2**62)}",
    )
    return Runner(**{**settings, **options})


def lines_of(runner: Runner) -> str:
    """The log of a run."""
    (log,) = Path(runner.log_dir).glob("*.log")
    return log.read_text("utf-8")
