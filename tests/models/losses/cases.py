"""Cases and properties that every loss shares."""

from __future__ import annotations

import torch
from torch import Tensor


def random_case(
    seed: int = 0, *, classes: int = 4, size: tuple[int, int] = (9, 11), ignored: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Logits (2, K, H, W) and blocky labels (2, H, W), some of them 255."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, *size, generator=generator)
    coarse = torch.randint(0, classes, (2, 1, 3, 3), generator=generator).float()
    target = torch.nn.functional.interpolate(coarse, size, mode="nearest")[:, 0].long()
    target[torch.rand(2, *size, generator=generator) < ignored] = 255
    return logits, target


def as_float64(logits: Tensor) -> Tensor:
    """A leaf for gradcheck."""
    return logits.double().requires_grad_()
