"""Band values to what a network takes: by extremes, by percentiles, or by mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.band_stats import BandStats

ScalingKind = Literal["minmax", "percentile", "meanstd"]
KINDS: tuple[ScalingKind, ...] = get_args(ScalingKind)


@dataclass(frozen=True)
class BandScaling:
    """(value - offset) / divisor, band by band.

    Attributes:
        kind: What the numbers mean.
        offset: The minimum, lower percentile or mean of each band.
        divisor: The range or deviation of each band; never 0.
        clip: Cut the result to 0 .. 1; not for ``meanstd``.
    """

    kind: ScalingKind
    offset: tuple[float, ...]
    divisor: tuple[float, ...]
    clip: bool

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Scale (H, W, bands) of any type; a new array."""
        # wide types are not cut to float32 before the offset is off: their values may lie close
        # together and far from 0
        fits = np.can_cast(pixels.dtype, np.float32)
        scaled: NDArray[Any] = pixels.astype(np.float32 if fits else np.float64)
        scaled -= np.asarray(self.offset, dtype=scaled.dtype)
        scaled *= (1.0 / np.asarray(self.divisor, dtype=np.float64)).astype(scaled.dtype)
        if self.clip:
            np.clip(scaled, 0.0, 1.0, out=scaled)
        return scaled.astype(np.float32, copy=False)


def scaling_of(
    kind: ScalingKind, stats: BandStats, *, low: float = 2.0, high: float = 98.0
) -> BandScaling:
    """The scaling that statistics give.

    Args:
        kind: ``minmax`` maps the extremes to 0 and 1, ``percentile`` two percentiles (cut off
            beyond), ``meanstd`` to mean 0 and deviation 1.
        stats: Of the training images.
        low: Lower percentile.
        high: Upper percentile.

    Raises:
        ValueError: The kind is unknown, or not 0 <= low < high <= 100, or the statistics do not
            hold such percentiles.
    """
    if kind == "minmax":
        return from_range(kind, stats.minimum, stats.maximum)
    if kind == "percentile":
        if not 0 <= low < high <= 100:
            raise ValueError(f"0 <= low < high <= 100 must hold, got low={low}, high={high}")
        return from_range(kind, stats.percentile(low), stats.percentile(high))
    if kind == "meanstd":
        # where all values are one, rounding may leave a deviation that is nearly 0
        same = np.equal(stats.minimum, stats.maximum)
        return BandScaling(kind, stats.mean, _not_zero(np.where(same, 0, stats.std)), clip=False)
    raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")


def from_range(kind: ScalingKind, low: Sequence[float], high: Sequence[float]) -> BandScaling:
    """The scaling that maps ``low`` of each band to 0 and ``high`` to 1, cut off beyond."""
    spans = tuple(float(b) - float(a) for a, b in zip(low, high, strict=True))
    return BandScaling(kind, tuple(float(v) for v in low), _not_zero(spans), clip=True)


def _not_zero(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    # a band of one value tells nothing: it becomes 0 everywhere, whatever it is divided by
    return tuple(float(value) if value > 0 else 1.0 for value in values)
