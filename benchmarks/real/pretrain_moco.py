"""MoCo v2 of the small Hi-ResNet for a number of steps."""

from __future__ import annotations

import copy
import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from benchmarks.real.models import WIDTHS, config_of
from benchmarks.real.pretrain_data import ViewSampler
from benchmarks.real.train import rate_factor

_INPUT_FORMAT = torch.channels_last


@dataclass(frozen=True)
class MoCoSettings:
    """What decides a pre-training run, besides the pictures and the code.

    Attributes:
        num_steps: Of the optimiser. Steps, not seconds: so the weights can be had again.
        seed: Of weights, order and views.
        crop_px: Side of a view.
        batch_size: Windows in a batch.
        queue_len: Keys; fewer than windows less a batch.
        lr: Peak rate of AdamW; it rises over 5 % of the steps and falls as half a cosine.
        weight_decay: Of AdamW.
        key_momentum: m of eq. 11.
        temperature: Of the contrast.
        feat_dim: Channels of a key.
        num_points: Points of the curve.
    """

    num_steps: int = 3600
    seed: int = 0
    crop_px: int = 64
    batch_size: int = 64
    queue_len: int = 1024
    lr: float = 1e-3
    weight_decay: float = 1e-4
    key_momentum: float = 0.999
    temperature: float = 0.2
    feat_dim: int = 64
    num_points: int = 12


def build_moco(settings: MoCoSettings) -> nn.Module:
    """The algorithm around the backbone that fine-tuning has, with initial weights."""
    from mmseg.utils import register_all_modules

    import mmrs.models  # noqa: F401  registers them

    register_all_modules(init_default_scope=True)
    channels = sum(WIDTHS)
    model = MODELS.build(
        {
            "type": "mmrs.MoCoV2",
            "backbone": copy.deepcopy(config_of("hiresnet", 2)["backbone"]),
            "neck": {"type": "mmrs.MultiScalePool"},
            "projector": {
                "type": "mmpretrain.MoCoV2Neck",
                "in_channels": channels,
                "hid_channels": channels,
                "out_channels": settings.feat_dim,
                "with_avg_pool": False,
            },
            "queue_len": settings.queue_len,
            "feat_dim": settings.feat_dim,
            "key_momentum": settings.key_momentum,
            "temperature": settings.temperature,
        }
    )
    model.init_weights()
    return model


def spread(embeddings: torch.Tensor) -> float:
    """Mean deviation of the dimensions times sqrt(D): 1 is even over the sphere, 0 is collapse."""
    return float(embeddings.std(dim=0, unbiased=False).mean()) * math.sqrt(embeddings.shape[1])


def pretrain(
    settings: MoCoSettings, pixels: Sequence[np.ndarray], checkpoint: Path
) -> dict[str, Any]:
    """Take the steps and write a checkpoint; a run that was interrupted goes on.

    Args:
        settings: Of the run.
        pixels: (H, W, 3) uint8, what counts as an image each.
        checkpoint: File to write, as MMEngine writes it: ``state_dict`` and ``meta``.

    Returns:
        Curve of loss, top-1, top-5 and spread (means over each part of the steps), and times.
    """
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    model = build_moco(settings).to(memory_format=_INPUT_FORMAT).train()
    model.check_queue(len(pixels), settings.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    sampler = ViewSampler(
        pixels, crop_px=settings.crop_px, batch_size=settings.batch_size, seed=settings.seed
    )
    at = {"used": 0.0, "iterations": 0, "wall": 0.0, "curve": []}
    partial = checkpoint.with_suffix(".partial")
    if partial.is_file():
        _restore(partial, settings, model, optimizer, sampler, at)
    wall = time.monotonic() - at["wall"]
    parts: list[tuple[float, ...]] = []
    while at["iterations"] < settings.num_steps:
        start = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * rate_factor(at["iterations"] / settings.num_steps, 0.05)
        parts.append(_step(model, optimizer, sampler))
        at["iterations"] += 1
        at["used"] += time.process_time() - start
        if at["iterations"] >= settings.num_steps * (len(at["curve"]) + 1) / settings.num_points:
            names = ("loss", "top1", "top5", "spread")
            means = np.mean(parts, axis=0).tolist()
            point = {"cpu_s": round(at["used"], 1), "iterations": at["iterations"]}
            point |= {k: round(v, 4) for k, v in zip(names, means, strict=True)}
            at["curve"].append(point)
            at["wall"] = time.monotonic() - wall
            parts = []
            print(point, flush=True)
            _save(partial, settings, model, optimizer, sampler, at)
    meta = {"iter": at["iterations"]}
    _replace({"meta": meta, "state_dict": model.state_dict()}, checkpoint)
    partial.unlink(missing_ok=True)
    return {
        "settings": asdict(settings),
        "num_windows": len(pixels),
        "iterations": at["iterations"],
        "epochs": round(at["iterations"] * settings.batch_size / len(pixels), 2),
        "train_cpu_s": round(at["used"], 1),
        "wall_s": round(time.monotonic() - wall, 1),
        "curve": at["curve"],
    }


@torch.no_grad()
def discrimination(
    model: nn.Module, settings: MoCoSettings, pixels: Sequence[np.ndarray]
) -> dict[str, float]:
    """How often a view is nearest to the other view of its window, among all windows, in %.

    Of the query encoder alone, as it would be used, on new views: what training reports is
    flattered by keys of the queue that are older than the positive one, and look it.
    """
    random.seed(settings.seed + 1000)
    np.random.seed(settings.seed + 1000)
    torch.manual_seed(settings.seed + 1000)
    sampler = ViewSampler(
        pixels, crop_px=settings.crop_px, batch_size=settings.batch_size, seed=settings.seed
    )
    model.eval()
    found: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for _ in range(len(pixels) // settings.batch_size):
        for view, known in zip(sampler.next_batch()[0], found, strict=True):
            known.append(F.normalize(model.projector((model.extract_feat(view),))[0], dim=1))
    return ranked([torch.cat(known) for known in found])


def compare_discrimination(
    settings: MoCoSettings, pixels: Sequence[np.ndarray], checkpoint: Path
) -> dict[str, Any]:
    """``discrimination`` of the initial weights of a run and of those it ended with."""
    torch.manual_seed(settings.seed)
    model = build_moco(settings)
    before = discrimination(model, settings, pixels)
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    return {"random": before, "moco": discrimination(model, settings, pixels)}


def ranked(views: Sequence[torch.Tensor]) -> dict[str, float]:
    """Top-1 and top-5 in per cent of two views (N, D) each, by their scalar product."""
    similarity = views[0] @ views[1].T  # (N, N)
    better = (similarity > similarity.diag()[:, None]).sum(dim=1)
    tops = {f"top{k}": round(100 * float((better < k).float().mean()), 2) for k in (1, 5)}
    return {"num_views": len(similarity), **tops}


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, sampler: ViewSampler
) -> tuple[float, ...]:
    views, ids = sampler.next_batch()
    views = [view.contiguous(memory_format=_INPUT_FORMAT) for view in views]
    found = model.loss(views, [{"image_id": i} for i in ids])
    optimizer.zero_grad(set_to_none=True)
    found["loss"].backward()
    optimizer.step()
    told = tuple(float(found[name].detach()) for name in ("loss", "top1", "top5"))
    if not math.isfinite(told[0]):
        raise FloatingPointError(f"the loss became {told[0]}")
    return (*told, spread(model.last_embeddings))


def _save(
    path: Path,
    settings: MoCoSettings,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sampler: ViewSampler,
    at: dict[str, Any],
) -> None:
    state = {
        "settings": asdict(settings),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "order": sampler.order,
        "generators": (
            random.getstate(),
            np.random.get_state(),
            torch.get_rng_state(),
            sampler.generator.get_state(),
        ),
        "at": at,
    }
    _replace(state, path)


def _restore(
    path: Path,
    settings: MoCoSettings,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sampler: ViewSampler,
    at: dict[str, Any],
) -> None:
    # written by _save and by nobody else: NumPy's generator state is no plain tensor
    state = torch.load(path, weights_only=False)
    if state["settings"] != asdict(settings):
        return
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    sampler.order = state["order"]
    random.setstate(state["generators"][0])
    np.random.set_state(state["generators"][1])
    torch.set_rng_state(state["generators"][2])
    sampler.generator.set_state(state["generators"][3])
    at.update(state["at"])


def _replace(content: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)
