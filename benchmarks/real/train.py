"""Train one model for a fixed number of CPU seconds and score it on the way.

The budget is the CPU time of this process (``time.process_time``) spent on training: drawing and
augmenting batches, forward, backward, step.  Building, evaluating and writing do not count.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.model import initialize
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from benchmarks.real.data import (
    CLASSES,
    IMAGE_MEAN,
    IMAGE_STD,
    CropSampler,
    StitchingSampler,
    Subset,
)
from benchmarks.real.models import build, config_of, extras_of, num_parameters, paper


@dataclass(frozen=True)
class Settings:
    """What decides a run, besides the data and the code.

    Attributes:
        dataset: Name of the data set.
        model: Name of the model (``models.config_of``).
        seed: Seed of weights, batches and losses.
        budget_s: CPU seconds of training.
        lr: Peak learning rate of AdamW.
        batch_size: Crops in a batch.
        crop_px: Side of a crop.
        weight_decay: Of AdamW.
        warmup_ratio: Share of the budget in which the rate rises linearly.
        num_evaluations: Evenly spaced in the budget, the last at its end.
    """

    dataset: str
    model: str
    seed: int
    budget_s: float
    lr: float
    batch_size: int = 8
    crop_px: int = 128
    weight_decay: float = 0.01
    warmup_ratio: float = 0.05
    num_evaluations: int = 8


def rate_factor(progress: float, warmup_ratio: float) -> float:
    """Learning rate over its peak: a linear rise, then half a cosine down to 1 %."""
    if progress < warmup_ratio:
        return max(progress / warmup_ratio, 0.01)
    angle = math.pi * min((progress - warmup_ratio) / (1 - warmup_ratio), 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(angle))


def as_samples(masks: Tensor) -> list[SegDataSample]:
    """Wrap masks (B, H, W) as MMSeg's data samples."""
    size = tuple(masks.shape[-2:])
    samples = []
    for mask in masks:
        sample = SegDataSample(
            metainfo={"img_shape": size, "ori_shape": size, "pad_shape": size, "scale_factor": 1.0}
        )
        sample.gt_sem_seg = PixelData(data=mask[None].long())
        samples.append(sample)
    return samples


def confusion(
    model: nn.Module,
    subset: Subset,
    num_classes: int,
    batch_size: int = 8,
    refine: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> np.ndarray:
    """Confusion matrix (true, predicted) over all pixels, int64.

    Args:
        model: In any mode; it is left in training mode.
        subset: Pictures and masks.
        num_classes: K.
        batch_size: Pictures at a time.
        refine: Logits (B, K, H, W) and pixels (B, 3, H, W) in 0 .. 255 -> scores, where the
            predictions are refined by the pixels.
    """
    mean, std = (torch.tensor(x)[:, None, None] for x in (IMAGE_MEAN, IMAGE_STD))
    total = np.zeros((num_classes, num_classes), dtype=np.int64)
    model.eval()
    with torch.no_grad():
        for start in range(0, len(subset.names), batch_size):
            images = subset.images[start : start + batch_size]
            masks = subset.masks[start : start + batch_size]
            images = images.contiguous(memory_format=torch.channels_last)
            results = model.predict(images, as_samples(masks))
            labels = torch.stack([result.pred_sem_seg.data[0] for result in results])
            if refine is not None:
                logits = torch.stack([result.seg_logits.data for result in results])
                labels = refine(logits, images * std + mean).argmax(1)
            for mask, label in zip(masks, labels, strict=True):
                predicted = label.numpy().ravel()
                packed = mask.numpy().ravel().astype(np.int64) * num_classes + predicted
                total += np.bincount(packed, minlength=num_classes**2).reshape(total.shape)
    model.train()
    return total


def class_iou(matrix: np.ndarray) -> list[float]:
    """Intersection over union of each class; NaN where a class is neither there nor predicted."""
    hit = np.diag(matrix).astype(float)
    union = matrix.sum(0) + matrix.sum(1) - hit
    return [float(h / u) if u else math.nan for h, u in zip(hit, union, strict=True)]


def train(
    settings: Settings,
    train_set: Subset,
    val_set: Subset,
    weights: Path | None = None,
    *,
    frozen: bool = False,
) -> dict:
    """Run the budget.

    Args:
        settings: Of the run.
        train_set: Pictures and masks to train on.
        val_set: Those to score on.
        weights: Of the backbone, from `mmrs.apis.convert_weights`. The head starts as without them.
        frozen: The backbone's weights stay; only its BatchNorm takes statistics.

    Returns:
        Result of the run: parameters, learning curve, final scores, iterations, times.
    """
    torch.manual_seed(settings.seed)
    np.random.seed(settings.seed)
    num_classes = len(CLASSES[settings.dataset])
    config = config_of(settings.model, num_classes)
    model = build(config)
    if weights is not None:
        initialize(model.backbone, {"type": "Pretrained", "checkpoint": str(weights)})
    if frozen:
        model.backbone.requires_grad_(False)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    extras = extras_of(settings.model)
    sampler_class = StitchingSampler if extras.get("stitched") else CropSampler
    sampler = sampler_class(
        train_set, crop_px=settings.crop_px, batch_size=settings.batch_size, seed=settings.seed
    )
    curve: list[dict] = []
    used = loss_sum = 0.0
    iterations = since = 0
    wall = time.monotonic()
    gc.collect()
    for k in range(1, settings.num_evaluations + 1):
        goal = settings.budget_s * k / settings.num_evaluations
        while used < goal:
            start = time.process_time()
            factor = rate_factor(used / settings.budget_s, settings.warmup_ratio)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * factor
            loss_sum += step(model, optimizer, sampler)
            iterations, since = iterations + 1, since + 1
            used += time.process_time() - start
        matrix = confusion(model, val_set, num_classes)
        iou = class_iou(matrix)
        curve.append(
            {
                "cpu_s": round(used, 2),
                "iterations": iterations,
                "loss": round(loss_sum / max(since, 1), 5),
                "miou": round(float(np.nanmean(iou)), 5),
                "iou": [round(x, 5) for x in iou],
            }
        )
        loss_sum, since = 0.0, 0
    if "crf" in extras:
        extras["crf"] = {"options": extras["crf"], **score_refined(settings, model, val_set)}
    return {
        **extras,
        "settings": asdict(settings),
        "config": config,
        "parameters": num_parameters(model),
        "iterations": iterations,
        "images_per_cpu_s": round(iterations * settings.batch_size / used, 2),
        "train_cpu_s": round(used, 2),
        "wall_s": round(time.monotonic() - wall, 1),
        "classes": list(CLASSES[settings.dataset]),
        "curve": curve,
        "iou": curve[-1]["iou"],
        "miou": curve[-1]["miou"],
        "confusion": matrix.tolist(),
    }


def score_refined(settings: Settings, model: nn.Module, val_set: Subset) -> dict:
    """Scores of the trained model after the CRF of its paper, and what the CRF took."""
    start = time.process_time()
    num_classes = len(CLASSES[settings.dataset])
    refine = paper(settings.model.partition("/")[0]).refine
    matrix = confusion(model, val_set, num_classes, refine=refine)
    iou = class_iou(matrix)
    return {
        "miou": round(float(np.nanmean(iou)), 5),
        "iou": [round(x, 5) for x in iou],
        "confusion": matrix.tolist(),
        "cpu_s_per_image": round((time.process_time() - start) / len(val_set.names), 3),
    }


def step(model: nn.Module, optimizer: torch.optim.Optimizer, sampler: CropSampler) -> float:
    """One iteration; the loss.

    Raises:
        FloatingPointError: The loss is not finite: a run that goes on would score noise.
    """
    images, masks = sampler.next_batch()
    images = images.contiguous(memory_format=torch.channels_last)
    losses = model.loss(images, as_samples(masks))
    total = sum(value for name, value in losses.items() if "loss" in name)
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    optimizer.step()
    value = float(total.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss became {value}")
    return value
