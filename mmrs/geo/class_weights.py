"""Weights of classes from how many pixels they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

WeightMethod = Literal["inverse", "median", "effective"]
METHODS: tuple[WeightMethod, ...] = get_args(WeightMethod)


def class_weights(
    pixels: Sequence[int] | NDArray[np.int64],
    method: WeightMethod = "inverse",
    *,
    in_reach: Sequence[int] | NDArray[np.int64] | None = None,
    beta: float = 0.999999,
) -> NDArray[np.float64]:
    """Weights with mean 1 over the classes that occur; 0 for those that do not.

    Args:
        pixels: Of each class, (K,).
        method: ``inverse``: 1 / pixels. ``median``: median frequency balancing, the frequency
            of a class being its share of the images in which it occurs. ``effective``:
            (1 - beta) / (1 - beta ** pixels), milder than the inverse where classes are large.
        in_reach: For ``median``: labelled pixels of the images in which each class occurs;
            all pixels by default.
        beta: For ``effective``; 0 to below 1.

    Raises:
        ValueError: The method is unknown, a count is negative or all are 0, or ``beta`` is out
            of range.

    Source: median: Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels
    (ICCV 2015); effective: Cui et al., Class-Balanced Loss Based on Effective Number of Samples
    (CVPR 2019).
    """
    counts = np.asarray(pixels, dtype=np.float64)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if (counts < 0).any() or not counts.any():
        raise ValueError(f"pixels must be >= 0, and one > 0, got {counts.tolist()}")
    if not 0 <= beta < 1:
        raise ValueError(f"beta must be in 0 .. 1 without 1, got {beta}")
    here = counts > 0
    weights = np.zeros_like(counts)
    if method == "inverse":
        weights[here] = 1 / counts[here]
    elif method == "median":
        reach = np.full_like(counts, counts.sum()) if in_reach is None else np.asarray(in_reach)
        frequency = counts[here] / reach[here]
        weights[here] = np.median(frequency) / frequency
    else:
        # beta ** pixels underflows to 0 for large counts, which is its limit
        weights[here] = (1 - beta) / -np.expm1(counts[here] * np.log(beta) if beta else -np.inf)
    return weights / weights[here].mean()
