"""A run of seconds: a network of a few hundred parameters on a few small tiles."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("field", "water", "road")
PALETTE = [[120, 180, 90], [60, 90, 200], [90, 90, 90]]


def write_pairs(
    root: Path,
    split: str,
    count: int,
    *,
    size_px: int = 32,
    values: Sequence[int] = (0, 1, 2),
    suffix: str = ".png",
    seed: int = 0,
) -> None:
    """Write ``img/<split>/t0.png ...`` and ``ann/<split>/...`` of random patches."""
    rng = np.random.default_rng(seed)
    for folder in ("img", "ann"):
        (root / folder / split).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        patches = rng.permutation(np.resize(values, 16)).reshape(4, 4)
        label = np.kron(patches, np.ones((size_px // 4, size_px // 4), int)).astype(np.uint8)
        image = np.stack([label * 40 + 20 * band for band in range(3)], axis=2)
        image = (image + rng.integers(0, 20, image.shape)).astype(np.uint8)
        Image.fromarray(image).save(root / "img" / split / f"t{index}{suffix}")
        Image.fromarray(label).save(root / "ann" / split / f"t{index}.png")


def tiny_config(root: Path, **changes: Any) -> dict[str, Any]:
    """A whole config of two training steps; ``changes`` are dotted keys with ``__`` for dots."""
    norm = {"type": "BN"}
    load = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
    pack = [{"type": "PackSegInputs"}]

    def loader(split: str, sampler: str, steps: list, batch_size: int) -> dict:
        return {
            "batch_size": batch_size,
            "num_workers": 0,
            "sampler": {"type": sampler, "shuffle": False},
            "dataset": {
                "type": "BaseSegDataset",
                "data_root": str(root),
                "data_prefix": {"img_path": f"img/{split}", "seg_map_path": f"ann/{split}"},
                "img_suffix": ".png",
                "metainfo": {"classes": CLASSES, "palette": PALETTE},
                "pipeline": [*load, *steps, *pack],
            },
        }

    cfg = Config(
        {
            "default_scope": "mmseg",
            "model": {
                "type": "EncoderDecoder",
                "data_preprocessor": {
                    "type": "SegDataPreProcessor",
                    "mean": [100.0] * 3,
                    "std": [50.0] * 3,
                    "bgr_to_rgb": True,
                    "pad_val": 0,
                    "seg_pad_val": 255,
                    "size": (32, 32),
                },
                "backbone": {
                    "type": "UNet",
                    "base_channels": 4,
                    "num_stages": 2,
                    "strides": (1, 1),
                    "enc_num_convs": (1, 1),
                    "dec_num_convs": (1,),
                    "downsamples": (True,),
                    "enc_dilations": (1, 1),
                    "dec_dilations": (1,),
                    "norm_cfg": norm,
                },
                "decode_head": {
                    "type": "FCNHead",
                    "in_channels": 4,
                    "in_index": 1,
                    "channels": 4,
                    "num_convs": 1,
                    "num_classes": len(CLASSES),
                    "norm_cfg": norm,
                    "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
                },
                "train_cfg": {},
                "test_cfg": {"mode": "whole"},
            },
            "train_dataloader": loader(
                "train",
                "InfiniteSampler",
                [
                    {"type": "RandomCrop", "crop_size": (32, 32)},
                    {"type": "RandomFlip", "prob": 0.5},
                ],
                2,
            ),
            "val_dataloader": loader("val", "DefaultSampler", [], 1),
            "test_dataloader": loader("val", "DefaultSampler", [], 1),
            "val_evaluator": {"type": "mmrs.SegMetric"},
            "test_evaluator": {"type": "mmrs.SegMetric"},
            "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.01}},
            "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 2, "val_interval": 2},
            "val_cfg": {"type": "ValLoop"},
            "test_cfg": {"type": "TestLoop"},
            "default_hooks": {
                "logger": {"type": "LoggerHook", "interval": 1, "log_metric_by_epoch": False},
                "checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 2},
            },
            "log_processor": {"by_epoch": False},
            "visualizer": {
                "type": "SegLocalVisualizer",
                "vis_backends": [{"type": "LocalVisBackend"}],
                "name": "visualizer",
            },
            "randomness": {"seed": 0},
        }
    )
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return cfg._cfg_dict.to_dict()


def write_config(root: Path, **changes: Any) -> str:
    """Write :func:`tiny_config` to ``root/tiny.py`` and return its path."""
    path = root / "tiny.py"
    Config(tiny_config(root, **changes)).dump(path)
    return str(path)


def load_tool(name: str) -> ModuleType:
    """Import ``tools/<name>.py``, which is no package."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_tool(name: str, *argv: str) -> int:
    """Run a tool in this process as its command line does; returns the exit status."""
    from mmrs.apis.cli import run

    main: Callable = load_tool(name).main
    return run(main, [str(word) for word in argv])
