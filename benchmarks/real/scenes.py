"""Which pictures show the same ground: overlap search, grouping, and a split by group.

A picture may come back as a copy, flipped or turned, or shifted so that only a part is shared.
All three are found by one search: the normalised cross-correlation of the high-passed grey
pictures over every shift that leaves enough overlap, for each of the eight orientations.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

NUM_ORIENTATIONS = 8
_MIN_DETAIL_RATIO = 0.1


@dataclass(frozen=True)
class Overlap:
    """Two pictures that share ground.

    Attributes:
        first: Index of the one picture.
        second: Index of the other.
        score: Normalised cross-correlation over the shared part, in [-1, 1].
        orientation: How the second was turned to match: quarter turns 0-3, plus 4 if mirrored.
        shared_ratio: Area of the shared part over that of a picture, in (0, 1].
    """

    first: int
    second: int
    score: float
    orientation: int
    shared_ratio: float


def orient(pictures: Tensor, orientation: int) -> Tensor:
    """Turn pictures (..., S, S) into one of the eight orientations of the square."""
    turned = torch.rot90(pictures, orientation % 4, dims=(-2, -1))
    return turned.flip(-1) if orientation >= 4 else turned


def high_pass(grey: Tensor, size_px: int, blur_px: int = 9) -> Tensor:
    """Shrink grey pictures and take their local mean away: the ground, not the brightness.

    Args:
        grey: (N, H, W) float.
        size_px: Side of the result.
        blur_px: Window of the local mean, odd.

    Returns:
        (N, size_px, size_px) float, clipped to three standard deviations of each picture, so that
        one hard cloud edge does not decide.
    """
    small = F.interpolate(grey[:, None], (size_px, size_px), mode="area")
    pad = blur_px // 2
    local = F.avg_pool2d(F.pad(small, (pad,) * 4, mode="reflect"), blur_px, 1)
    detail = (small - local)[:, 0]
    bound = 3 * detail.std(dim=(1, 2), keepdim=True)
    return torch.minimum(torch.maximum(detail, -bound), bound)


def _overlap_sums(pictures: Tensor, ones: Tensor, sign: int) -> Tensor:
    spectrum = torch.fft.rfft2(pictures, s=[2 * pictures.shape[-1]] * 2)
    product = spectrum.conj() * ones if sign > 0 else spectrum * ones.conj()
    return torch.fft.irfft2(product, s=[2 * pictures.shape[-1]] * 2)


def find_overlaps(
    detail: Tensor, *, threshold: float, min_shared_ratio: float, orientations: Iterable[int]
) -> list[Overlap]:
    """Find every pair of pictures that show the same ground.

    Args:
        detail: (N, S, S) float from ``high_pass``.
        threshold: Smallest correlation that counts.
        min_shared_ratio: Smallest shared area, over the area of a picture.
        orientations: Which of the eight orientations to try.

    Returns:
        The best match of each pair at or above the threshold.
    """
    n, s, _ = detail.shape
    size = [2 * s, 2 * s]
    ones = torch.fft.rfft2(torch.ones(s, s, dtype=detail.dtype), s=size)
    count = torch.fft.irfft2(ones.conj() * ones, s=size)  # (2S, 2S) shared pixels of each shift
    allowed = count >= min_shared_ratio * s * s
    count = count.clamp(min=1.0)
    spectrum = torch.fft.rfft2(detail, s=size)  # (N, 2S, S + 1)
    sums = _overlap_sums(detail, ones, +1)
    spread = _overlap_sums(detail**2, ones, +1) - sums**2 / count
    # a flat part (a white cloud) correlates with anything: it must hold some of the detail
    floor = _MIN_DETAIL_RATIO * detail.var(dim=(1, 2))[:, None, None].clamp(min=1e-2) * count
    flat, spread = spread < floor, torch.maximum(spread, floor)
    best: dict[tuple[int, int], Overlap] = {}
    for orientation in orientations:
        turned = orient(detail, orientation)
        turned_sums = _overlap_sums(turned, ones, -1)
        turned_spread = _overlap_sums(turned**2, ones, -1) - turned_sums**2 / count
        turned_flat, turned_spread = turned_spread < floor, torch.maximum(turned_spread, floor)
        turned_spectrum = torch.fft.rfft2(turned, s=size)
        for i in range(n - 1):
            cross = torch.fft.irfft2(spectrum[i].conj() * turned_spectrum[i + 1 :], s=size)
            score = cross - sums[i] * turned_sums[i + 1 :] / count
            score /= (spread[i] * turned_spread[i + 1 :]).sqrt()
            score[(~allowed | flat[i]) | turned_flat[i + 1 :]] = -1.0
            score = score.flatten(1)
            value, where = score.max(dim=1)
            for k in torch.nonzero(value >= threshold).flatten().tolist():
                pair = (i, i + 1 + k)
                if pair not in best or best[pair].score < float(value[k]):
                    shared = float(count.flatten()[where[k]]) / (s * s)
                    best[pair] = Overlap(*pair, float(value[k]), orientation, shared)
    return [best[pair] for pair in sorted(best)]


def rescore(
    detail: Tensor, overlaps: Iterable[Overlap], *, min_shared_ratio: float
) -> list[Overlap]:
    """Score candidate pairs again on finer pictures, in the orientation found before.

    Args:
        detail: (N, S, S) float from ``high_pass``, larger than the search had.
        overlaps: Candidates.
        min_shared_ratio: Smallest shared area, over the area of a picture.

    Returns:
        The candidates with their new scores.
    """
    result = []
    for o in overlaps:
        pair = find_overlaps(
            detail[[o.first, o.second]],
            threshold=-1.0,
            min_shared_ratio=min_shared_ratio,
            orientations=[o.orientation],
        )
        result += [Overlap(o.first, o.second, p.score, p.orientation, p.shared_ratio) for p in pair]
    return result


def group(num_items: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Connected components: the smallest index of its component, for every item."""
    parent = list(range(num_items))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    return [root(i) for i in range(num_items)]


def pairs_of_equal(keys: Sequence[Hashable | None]) -> list[tuple[int, int]]:
    """Link every item to the first one with the same key; ``None`` links nothing."""
    first: dict[Hashable, int] = {}
    return [(first.setdefault(key, i), i) for i, key in enumerate(keys) if key is not None]


def split_groups(
    groups: Sequence[int],
    class_px: np.ndarray,
    *,
    val_ratio: float,
    seed: int,
    num_draws: int = 2000,
) -> list[bool]:
    """Put whole groups into validation, so that both sides look alike.

    Of ``num_draws`` seeded random draws of groups, the one is kept whose validation part has the
    wanted share of pictures and of each class's pixels most nearly. A rule without it would often
    leave a rare class out of validation altogether.

    Args:
        groups: The group of each picture.
        class_px: (N, K) pixels of each class in each picture.
        val_ratio: Wanted share of the validation part, in (0, 1).
        seed: Seed of the draws.
        num_draws: Number of draws.

    Returns:
        For each picture, whether it is in validation.
    """
    if not 0 < val_ratio < 1:
        raise ValueError(f"val_ratio must be in (0, 1), got {val_ratio}")
    table = np.concatenate([np.ones((len(groups), 1)), class_px], axis=1).astype(float)
    table /= table.sum(axis=0).clip(min=1.0)
    names = sorted(set(groups))
    rows = {g: table[[i for i, other in enumerate(groups) if other == g]].sum(0) for g in names}
    rng = random.Random(seed)
    best: tuple[float, set[int]] = (float("inf"), set())
    for _ in range(num_draws):
        order = rng.sample(names, len(names))
        chosen: set[int] = set()
        share = np.zeros(table.shape[1])
        for g in order:
            if share[0] + rows[g][0] <= val_ratio + 0.02:
                chosen.add(g)
                share = share + rows[g]
        error = float(np.abs(share - val_ratio).max())
        if error < best[0]:
            best = (error, chosen)
    return [g in best[1] for g in groups]
