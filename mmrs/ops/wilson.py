"""How far a share of a few samples may lie from the share of all."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(correct: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share, which stays in [0, 1] and is right for few samples and near 0 and 1.

    Args:
        correct: Of the samples, 0 to ``total``.
        total: At least 1.
        confidence: How often such intervals hold the share of all, in (0, 1).

    Returns:
        Its ends, in [0, 1].

    Raises:
        ValueError: A number is out of range.

    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953.
    """
    if not 0 <= correct <= total or total < 1:
        raise ValueError(f"correct must be 0 to total >= 1, got {correct} of {total}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # rounding must not leave the share itself, 0 or 1, outside
    low = 0.0 if correct == 0 else (middle - half) / scale
    high = 1.0 if correct == total else (middle + half) / scale
    return low, high
