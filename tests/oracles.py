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


def dice_focal(
    logits: np.ndarray,
    target: np.ndarray,
    *,
    alpha: float | list[float] = 0.25,
    gamma: float = 2.0,
    focal_weight: float = 0.9,
    smooth: float = 1e-5,
    present_only: bool = False,
    weight: np.ndarray | None = None,
    ignore: int = 255,
) -> float:
    """Mean soft Dice over the classes plus the mean focal loss over the pixels, pixel by pixel."""
    b, k, h, w = logits.shape
    p = softmax(logits)
    volume, overlap, predicted = np.zeros(k), np.zeros(k), np.zeros(k)
    focal, count = 0.0, 0
    for i in range(b):
        for y in range(h):
            for x in range(w):
                label = target[i, y, x]
                if label == ignore:
                    continue
                factor = 1.0 if weight is None else weight[i, y, x]
                chance = p[i, label, y, x]
                volume[label] += factor
                overlap[label] += factor * chance
                predicted += factor * p[i, :, y, x]
                share = alpha if np.isscalar(alpha) else alpha[label]
                focal -= factor * share * (1 - chance) ** gamma * math.log(chance)
                count += 1
    dice = (2 * overlap + smooth) / (volume + predicted + smooth)
    if present_only:
        dice = dice[volume > 0]
    return (1 - dice).mean() + focal_weight * focal / count


def msfm(
    x: np.ndarray,
    skip: np.ndarray | None,
    *,
    deconv: np.ndarray | None,
    project: np.ndarray,
    convs: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    concat: bool = False,
) -> np.ndarray:
    """RMNet's decoder block on (C, h, w), by loops over pixels.

    Args:
        x: The map from below.
        skip: (S, H, W) with H, W twice h, w or one less; None without one.
        deconv: (C, O, 2, 2) of the deconvolution; None for plain upsampling.
        project: (O, C) of the 1x1 after the bilinear step.
        convs: For each 3x3: kernel (O, I, 3, 3), and scale and shift of its norm.
        concat: The two ways beside each other instead of added.
    """
    h, w = x.shape[1:]
    out = project.shape[0]
    a, b = np.zeros((out, 2 * h, 2 * w)), np.zeros((out, 2 * h, 2 * w))
    for row in range(2 * h):
        for col in range(2 * w):
            b[:, row, col] = project @ bilinear(x, (row + 0.5) / 2 - 0.5, (col + 0.5) / 2 - 0.5)
            if deconv is not None:
                a[:, row, col] = x[:, row // 2, col // 2] @ deconv[:, :, row % 2, col % 2]
    y = b if deconv is None else np.concatenate([a, b]) if concat else a + b
    if skip is not None:
        y = np.concatenate([y[:, : skip.shape[1], : skip.shape[2]], skip])
    for kernel, scale, shift in convs:
        padded = np.pad(y, ((0, 0), (1, 1), (1, 1)))
        y = np.zeros((kernel.shape[0], *y.shape[1:]))
        for row in range(y.shape[1]):
            for col in range(y.shape[2]):
                patch = padded[:, row : row + 3, col : col + 3]
                z = (kernel * patch).sum((1, 2, 3)) * scale + shift
                y[:, row, col] = np.maximum(z, 0)
    return y


def bilinear(x: np.ndarray, row: float, col: float) -> np.ndarray:
    """(C, h, w) at a position in pixels, 0 the centre of the first; the border is repeated."""
    row, col = min(max(row, 0), x.shape[1] - 1), min(max(col, 0), x.shape[2] - 1)
    top, left = int(row), int(col)
    bottom, right = min(top + 1, x.shape[1] - 1), min(left + 1, x.shape[2] - 1)
    down, across = row - top, col - left
    upper = (1 - across) * x[:, top, left] + across * x[:, top, right]
    lower = (1 - across) * x[:, bottom, left] + across * x[:, bottom, right]
    return (1 - down) * upper + down * lower


def stitch_pixel_by_pixel(
    images: list[np.ndarray],
    labels: list[np.ndarray],
    boundary: tuple[int, int],
    offsets: list[tuple[int, int]],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Crop-and-stitch, each pixel of the result looked up by itself."""
    w, h = boundary
    image, label = [], []
    for y in range(size[0]):
        for x in range(size[1]):
            quadrant = (0 if x < w else 1) + (0 if y < h else 2)
            column = offsets[quadrant][0] + (x if x < w else x - w)
            row = offsets[quadrant][1] + (y if y < h else y - h)
            image.append(images[quadrant][row][column])
            label.append(labels[quadrant][row][column])
    return np.array(image).reshape(*size, -1), np.array(label).reshape(size)


def dense_crf(
    probabilities: np.ndarray,
    image: np.ndarray,
    *,
    num_iters: int,
    spatial_sigma_px: float,
    spatial_weight: float,
    bilateral_sigma_px: float,
    bilateral_color_sigma: float,
    bilateral_weight: float,
    compatibility: np.ndarray | None = None,
) -> np.ndarray:
    """Mean field of (K, H, W) beside (C, H, W), every pixel with every pixel: O(N²)."""
    k, h, w = probabilities.shape
    position = np.stack(np.mgrid[:h, :w]).reshape(2, -1).T.astype(np.float64)
    color = image.reshape(len(image), -1).T.astype(np.float64)
    potts = 1 - np.eye(k)
    penalty = potts if compatibility is None else np.asarray(compatibility, dtype=np.float64)
    pairwise = np.zeros((h * w, h * w))
    for weight, features in (
        (spatial_weight, position / spatial_sigma_px),
        (
            bilateral_weight,
            np.concatenate([position / bilateral_sigma_px, color / bilateral_color_sigma], 1),
        ),
    ):
        square = (features**2).sum(1)
        kernel = features @ features.T
        kernel -= square[:, None] / 2
        kernel -= square / 2
        np.exp(kernel, out=kernel)
        root = np.sqrt(kernel.sum(1))
        kernel /= root[:, None]
        kernel /= root
        kernel *= weight
        pairwise += kernel
    unary = -np.log(probabilities.reshape(k, -1).astype(np.float64).T)
    q = softmax(-unary)
    for _ in range(num_iters):
        q = softmax(-unary - pairwise @ q @ penalty.T)
    return q.T.reshape(k, h, w)


def boundary_counts(
    prediction: np.ndarray, label: np.ndarray, num_classes: int, width: float, ignore: int = 255
) -> np.ndarray:
    """(7, C) counts of boundary bands and boundary pixels, by loops over pairs of pixels.

    Rows: band in both, in truth, in prediction; true boundary, found; predicted boundary, right.
    """
    h, w = label.shape
    pixels = [(y, x) for y in range(h) for x in range(w) if label[y, x] != ignore]

    def band(ids: np.ndarray, reach: int) -> set:
        return {
            (y, x)
            for y, x in pixels
            if any(
                max(abs(y - v), abs(x - u)) <= reach and ids[v, u] != ids[y, x] for v, u in pixels
            )
        }

    def near(own: set, ids: np.ndarray, other: set, other_ids: np.ndarray) -> set:
        return {
            (y, x)
            for y, x in own
            if any(
                (y - v) ** 2 + (x - u) ** 2 <= width**2 and other_ids[v, u] == ids[y, x]
                for v, u in other
            )
        }

    counts = np.zeros((7, num_classes), dtype=np.int64)
    bands = band(label, int(width)), band(prediction, int(width))
    edges = band(label, 1), band(prediction, 1)
    found = near(edges[0], label, edges[1], prediction)
    right = near(edges[1], prediction, edges[0], label)
    both = {p for p in bands[0] & bands[1] if label[p] == prediction[p]}
    rows = (both, bands[0], bands[1], edges[0], found, edges[1], right)
    sources = (label, label, prediction, label, label, prediction, prediction)
    for row, (chosen, ids) in enumerate(zip(rows, sources, strict=True)):
        for p in chosen:
            counts[row, ids[p]] += 1
    return counts
