"""Slow, obvious references in float64: nested loops and textbook formulas."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_cdt


def manhattan(mask: np.ndarray) -> np.ndarray:
    """L1 distance to the nearest True of (H, W), inf where there is none."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    return distance_transform_cdt(~mask, metric="taxicab").astype(np.float64)


def softmax(logits: np.ndarray, axis: int = 1) -> np.ndarray:
    """Softmax in float64."""
    z = logits.astype(np.float64)
    z = np.exp(z - z.max(axis=axis, keepdims=True))
    return z / z.sum(axis=axis, keepdims=True)


def generalized_dice(
    logits: np.ndarray, target: np.ndarray, ignore: int = 255, weight: np.ndarray | None = None
) -> float:
    """Generalised Dice over a batch, pixel by pixel."""
    b, k, h, w = logits.shape
    p = softmax(logits)
    volume, overlap, predicted = np.zeros(k), np.zeros(k), np.zeros(k)
    for i in range(b):
        for y in range(h):
            for x in range(w):
                if target[i, y, x] == ignore:
                    continue
                factor = 1.0 if weight is None else weight[i, y, x]
                label = target[i, y, x]
                volume[label] += factor
                overlap[label] += factor * p[i, label, y, x]
                predicted += factor * p[i, :, y, x]
    if not volume.any():
        return 0.0
    numerator = denominator = 0.0
    for label in range(k):
        if volume[label] > 0:
            share = 1 / volume[label] ** 2
            numerator += share * overlap[label]
            denominator += share * (volume[label] + predicted[label])
    return 1 - 2 * numerator / denominator


def label_smoothing_cross_entropy(
    logits: np.ndarray, target: np.ndarray, smoothing: float, ignore: int = 255
) -> float:
    """Mean over valid pixels of -sum q log p."""
    b, k, h, w = logits.shape
    log_p = np.log(softmax(logits))
    losses = []
    for i in range(b):
        for y in range(h):
            for x in range(w):
                if target[i, y, x] == ignore:
                    continue
                q = np.full(k, smoothing / (k - 1))
                q[target[i, y, x]] = 1 - smoothing
                losses.append(-(q * log_p[i, :, y, x]).sum())
    return float(np.mean(losses)) if losses else 0.0


def edge_distance(mask: np.ndarray, valid: np.ndarray, cap: float) -> np.ndarray:
    """min(d(M) + d(not M), cap) of one (H, W) map, by two transforms."""
    total = manhattan(mask & valid) + manhattan(~mask & valid)
    return np.minimum(total, cap)


def class_agnostic_edge_aware(
    logits: np.ndarray,
    target: np.ndarray,
    label: int,
    *,
    cap: float = 32.0,
    power: float = 2.0,
    ignore: int = 255,
) -> float:
    """CEA of one class: the mean over valid pixels of (T - P)^2 (D_T^b + D_S^b), capped."""
    p = softmax(logits)[:, label]
    total, count = 0.0, 0
    for image, truth in zip(p, target, strict=True):
        valid = truth != ignore
        weight = sum(
            (edge_distance(mask, valid, cap) / cap) ** power
            for mask in (truth == label, image > 0.5)
        )
        error = ((truth == label).astype(np.float64) - image) ** 2
        total += (error * weight)[valid].sum()
        count += int(valid.sum())
    return total / count if count else 0.0


def window_attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int, size: int, layout: str
) -> np.ndarray:
    """Attention of every pixel over the real pixels of its window, by loops."""
    b, c, h, w = q.shape
    d = c // heads
    rows, cols = math.ceil(h / size), math.ceil(w / size)

    def window_of(y: int, x: int) -> tuple[int, int]:
        if layout == "contiguous":
            return y // size, x // size
        return y % rows, x % cols

    out = np.zeros((b, c, h, w))
    for i in range(b):
        for y in range(h):
            for x in range(w):
                mates = [
                    (r, s) for r in range(h) for s in range(w) if window_of(r, s) == window_of(y, x)
                ]
                for head in range(heads):
                    part = slice(head * d, (head + 1) * d)
                    logits = np.array(
                        [q[i, part, y, x] @ k[i, part, r, s] / math.sqrt(d) for r, s in mates]
                    )
                    share = np.exp(logits - logits.max())
                    share /= share.sum()
                    out[i, part, y, x] = sum(
                        a * v[i, part, r, s] for a, (r, s) in zip(share, mates, strict=True)
                    )
    return out
