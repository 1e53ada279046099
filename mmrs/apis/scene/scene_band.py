"""The band that blends the windows of a scene and hands out finished rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from mmrs.apis.window.window_protocol import WindowModel
from mmrs.geo.blending import BandAccumulator, BlendKind
from mmrs.geo.rows.scene_rows import SceneRows, Wanted, decide_rows
from mmrs.geo.windows import Window, WindowPlan


class Band(Protocol):
    """Sums of windows over the rows that later windows can still change.

    Attributes:
        top: The first row that was not handed out; may be set before the first window is added.
    """

    top: int

    def add(self, window: Window, scores: Any) -> None:
        """Add the scores of a window, (K, h, w), as the model gave them."""
        ...

    def pop_until(self, row: int) -> Iterator[SceneRows]:
        """Hand out the rows from ``top`` to ``row`` (excluded), in pieces."""
        ...


class NumpyBand:
    """A band of NumPy arrays, for models that give them.

    Args:
        plan: The windows to come.
        num_classes: Scores a pixel has.
        blend: How overlapping windows are mixed.
        threshold: As of the model.
        wanted: What is kept of the probabilities.
    """

    def __init__(
        self,
        plan: WindowPlan,
        num_classes: int,
        *,
        blend: BlendKind,
        threshold: float | None,
        wanted: Wanted,
    ) -> None:
        self._sums = BandAccumulator(plan, num_classes, blend)
        self._threshold = threshold
        self._wanted = wanted

    @property
    def top(self) -> int:
        """The first row that was not handed out."""
        return self._sums.top

    @top.setter
    def top(self, row: int) -> None:
        self._sums.top = row

    def add(self, window: Window, scores: Any) -> None:
        """Add the scores of a window, (K, h, w)."""
        self._sums.add(window, scores)

    def pop_until(self, row: int) -> Iterator[SceneRows]:
        """Hand out the rows from ``top`` to ``row`` (excluded), in pieces."""
        for scores in self._sums.pop_until(row):
            yield decide_rows(scores, self._threshold, self._wanted)


def make_band(model: WindowModel, plan: WindowPlan, blend: BlendKind, wanted: Wanted) -> Band:
    """The model's own band where it has one (on its device), else one of NumPy arrays."""
    own = getattr(model, "make_band", None)
    if own is not None:
        band: Band = own(plan, blend, wanted)
        return band
    return NumpyBand(
        plan, len(model.classes), blend=blend, threshold=model.threshold, wanted=wanted
    )
