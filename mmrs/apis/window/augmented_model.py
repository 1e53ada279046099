"""Test-time augmentation: mean probabilities over the ways to lay a window, and over its sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.window.window_protocol import WindowModel
from mmrs.errors import ConfigError
from mmrs.geo.bilinear import resize_bilinear

Symmetries = Literal["none", "flips", "d4"]


class Lay(NamedTuple):
    """One of the eight ways to lay a square: mirrored, then turned.

    Attributes:
        mirrored: Columns reversed.
        turns: Quarter turns against the clock after that.
    """

    mirrored: bool
    turns: int


LAYS: dict[Symmetries, tuple[Lay, ...]] = {
    "none": (Lay(False, 0),),
    # a mirror image turned by half is the other mirror image
    "flips": tuple(Lay(mirrored, turns) for mirrored in (False, True) for turns in (0, 2)),
    "d4": tuple(Lay(mirrored, turns) for mirrored in (False, True) for turns in range(4)),
}


class AugmentedWindowModel:
    """A ``WindowModel`` that asks another one several times and averages its probabilities.

    Every window is laid in several ways and resized to several scales; each answer is brought back
    to the window, and the mean is taken before windows are blended, in the same pass over the
    scene.  Time grows with the number of ways times the sum of squared scales; memory does not.

    What else the model has (classes, window, the band on its device, ...) is had from it.

    Args:
        model: What predicts.
        symmetries: ``none``, ``flips`` (4 ways), or ``d4`` (with quarter turns, 8 ways).  Ground
            seen from above has no up: all eight are as likely.
        scales: Sizes relative to the window's; pixels are interpolated between (without a filter
            where they shrink, as MMSegmentation's own augmentation does).

    Raises:
        ConfigError: If an option has no meaning.
    """

    def __init__(
        self,
        model: WindowModel,
        *,
        symmetries: Symmetries = "none",
        scales: Sequence[float] = (1.0,),
    ) -> None:
        if symmetries not in get_args(Symmetries):
            raise ConfigError(
                f"symmetries must be one of {', '.join(get_args(Symmetries))}, got {symmetries!r}",
                where="test-time augmentation",
            )
        if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ConfigError(
                f"scales must be numbers > 0, at least one, got {list(scales)}",
                where="test-time augmentation",
            )
        self.model = model
        self.symmetries = symmetries
        self.scales = tuple(scales)

    def __getattr__(self, name: str) -> Any:
        if name == "model":  # not there yet while it is unpickled
            raise AttributeError(name)
        return getattr(self.model, name)

    @property
    def identity(self) -> dict[str, str | int]:
        """What tells it from other models; empty where nothing tells its model from others."""
        inner = dict(getattr(self.model, "identity", {}))
        if inner:
            inner["augmented"] = f"{self.symmetries}, {list(self.scales)}"
        return inner

    @property
    def passes(self) -> int:
        """How often the model is asked about each window."""
        return len(LAYS[self.symmetries]) * len(self.scales)

    def __call__(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels in file order, (N, h, w, bands) -> mean probabilities (N, K, h, w)."""
        return np.asarray(self._mean(self.model, windows))

    def scores(self, windows: NDArray[Any]) -> Any:
        """The same as the model's own ``scores`` has it, on its device; else as an array."""
        return self._mean(getattr(self.model, "scores", self.model), windows)

    def _mean(self, ask: Any, windows: NDArray[Any]) -> Any:
        total = None
        for scale, lay in itertools.product(self.scales, LAYS[self.symmetries]):
            scores = _undo(ask(_laid(_scaled(windows, scale), lay)), lay)
            scores = _resized(scores, windows.shape[1:3])
            if total is None:
                total = scores + 0.0  # what the model gave stays as it is
            else:
                total += scores
        total /= self.passes
        return total


def _laid(windows: NDArray[Any], lay: Lay) -> NDArray[Any]:
    """(N, h, w, bands) laid another way; sides are swapped by an odd number of turns."""
    if lay.mirrored:
        windows = windows[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(windows, lay.turns, axes=(1, 2)))


def _undo(scores: Any, lay: Lay) -> Any:
    """Scores (N, K, h, w) of a window that was laid another way, as it lay before."""
    if isinstance(scores, np.ndarray):
        scores = np.rot90(scores, -lay.turns, axes=(2, 3))
        return scores[..., ::-1] if lay.mirrored else scores
    scores = scores.rot90(-lay.turns, dims=(2, 3)) if lay.turns else scores
    return scores.flip(-1) if lay.mirrored else scores


def _scaled(windows: NDArray[Any], scale: float) -> NDArray[Any]:
    if scale == 1:
        return windows
    height, width = (max(1, round(side * scale)) for side in windows.shape[1:3])
    return resize_bilinear(windows, height, width, axes=(1, 2))


def _resized(scores: Any, size: tuple[int, ...]) -> Any:
    if tuple(scores.shape[2:]) == tuple(size):
        return scores
    if isinstance(scores, np.ndarray):
        return resize_bilinear(scores, *size, axes=(2, 3))
    from torch.nn import functional  # a model that gives tensors has it already

    return functional.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)
