"""Classes told by the nearest neighbours: what features are worth without training anything."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 1024


@torch.no_grad()
def leave_one_out_knn(
    features: Tensor, labels: Tensor, *, num_classes: int, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """The class of each sample as its nearest neighbours among the others tell it.

    The k most similar (cosine) vote for their classes, with the weight exp(similarity /
    temperature); of classes with equal votes the first is taken.

    Args:
        features: (N, D), N at least 2, of any length.
        labels: (N,) integers, 0 to ``num_classes`` - 1.
        num_classes: How many classes there are.
        k: Neighbours, at least 1; no more than N - 1 are asked.
        temperature: > 0.

    Returns:
        (N,) int64, classes.

    Raises:
        ValueError: A number or shape is out of range, or a feature is not finite.

    Source: Wu et al. 2018 (arXiv 1805.01978), section 3.4: k = 200 on ImageNet, temperature 0.07.
    """
    if features.ndim != 2 or len(features) < 2 or labels.shape != features.shape[:1]:
        shapes = f"{tuple(features.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"features must be (N >= 2, D) and labels (N,), got {shapes}")
    if k < 1 or not temperature > 0:
        raise ValueError(f"k must be >= 1 and temperature > 0, got {k} and {temperature}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must be 0 to {num_classes - 1}, got {sorted(set(labels.tolist()))}"
        )
    if not features.isfinite().all():
        raise ValueError("features must be finite")
    count = len(features)
    k = min(k, count - 1)
    unit = F.normalize(features.double(), dim=1)
    told = []
    for start in range(0, count, _CHUNK):
        rows = torch.arange(start, min(start + _CHUNK, count), device=unit.device)
        similarity = unit[rows] @ unit.T  # (B, N)
        similarity[rows - start, rows] = -torch.inf
        nearest, index = similarity.topk(k, dim=1)  # (B, k)
        # the largest is 1, so that no temperature overflows; votes are compared, not their sum
        weight = ((nearest - nearest[:, :1]) / temperature).exp()
        votes = torch.zeros(len(rows), num_classes, dtype=weight.dtype, device=unit.device)
        told.append(votes.scatter_add_(1, labels[index], weight).argmax(dim=1))
    return torch.cat(told)
