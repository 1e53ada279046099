"""What features tell of the scene set's classes: leave-one-out nearest neighbours, no training.

Pre-training saw the same pictures, without their classes; so may its features be flattered, as
those of the random encoder and the histograms cannot be.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import initialize
from mmengine.registry import MODELS
from torch import Tensor, nn

from benchmarks.real.models import config_of
from benchmarks.real.pretrain_data import Scenes, standardised
from mmrs.models.necks.multi_scale_pool import MultiScalePool
from mmrs.ops.knn import leave_one_out_knn
from mmrs.ops.wilson import wilson_interval

K = 8  # a class has nine pictures
NUM_BINS = 8


def backbone(seed: int, weights: Path | None = None) -> nn.Module:
    """Fine-tuning's backbone, with random weights or those of a converted file."""
    from mmseg.utils import register_all_modules

    import mmrs.models  # noqa: F401  registers them

    register_all_modules(init_default_scope=True)
    torch.manual_seed(seed)
    model = MODELS.build(copy.deepcopy(config_of("hiresnet", 2)["backbone"]))
    model.init_weights()
    if weights is not None:
        initialize(model, {"type": "Pretrained", "checkpoint": str(weights)})
    return model


@torch.no_grad()
def deep_features(encoder: nn.Module, pixels: np.ndarray, *, calibrate: bool = False) -> Tensor:
    """Pooled maps of an encoder, (N, D).

    Args:
        encoder: Maps of several resolutions.
        pixels: (N, H, W, 3) uint8.
        calibrate: Give BatchNorm the statistics of these pictures first: an encoder that was never
            trained has none, and would be called worse than it is.
    """
    pool = MultiScalePool()
    batches = standardised(pixels).split(9)
    if calibrate:
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the mean over all batches
        encoder.train()
        # batches of mixed classes
        for batch in standardised(pixels[np.random.default_rng(0).permutation(len(pixels))]).split(
            9
        ):
            encoder(batch)
    encoder.eval()
    return torch.cat([pool(encoder(batch)) for batch in batches])


def colour_histograms(pixels: np.ndarray) -> Tensor:
    """Roots of joint RGB histograms of 8 x 8 x 8 bins, (N, 512).

    The cosine of two such is Bhattacharyya's coefficient of the histograms.
    """
    index = pixels.astype(np.int64) * NUM_BINS // 256  # (N, H, W, 3)
    packed = (index[..., 0] * NUM_BINS + index[..., 1]) * NUM_BINS + index[..., 2]
    counts = [np.bincount(one.ravel(), minlength=NUM_BINS**3) for one in packed]
    return torch.tensor(np.stack(counts)).double().sqrt()


def accuracy(features: Tensor, scenes: Scenes) -> dict[str, Any]:
    """Leave-one-out accuracy, its 95 % interval (Wilson), and which pictures were told right."""
    told = leave_one_out_knn(features, scenes.labels, num_classes=len(scenes.classes), k=K)
    right = told == scenes.labels
    low, high = wilson_interval(int(right.sum()), len(right))
    return {
        "accuracy": float(right.double().mean()),
        "low": low,
        "high": high,
        "right": right.int().tolist(),
    }


def measure(scenes: Scenes, weights: Path, seed: int) -> dict[str, Any]:
    """The encoder of one pre-training, the one of random weights that it began as, histograms."""
    rows: dict[str, Any] = {}
    for name, start in (("moco", weights), ("random", None)):
        rows[name] = accuracy(deep_features(backbone(seed, start), scenes.pixels), scenes)
        calibrated = deep_features(backbone(seed, start), scenes.pixels, calibrate=True)
        rows[f"{name}_calibrated"] = accuracy(calibrated, scenes)
    rows["histograms"] = accuracy(colour_histograms(scenes.pixels), scenes)
    return {
        "num_pictures": len(scenes.labels),
        "classes": list(scenes.classes),
        "k": K,
        "rows": rows,
    }
