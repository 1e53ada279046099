"""A scene's band on the model's device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from mmrs.apis.window.device_memory import tell_if_too_small
from mmrs.geo.blending import BlendKind, blend_profile
from mmrs.geo.rows.scene_rows import SceneRows, Wanted
from mmrs.geo.windows import Window, WindowPlan
from mmrs.ops.window_blend import TensorBand


class TensorSceneBand:
    """A `mmrs.apis.scene.scene_band.Band` of tensors: blends and decides where the model computes.

    On a GPU rows are handed out one call later than they are finished, when their copy has
    arrived; the call that reaches the last row hands out all.

    Args:
        plan: The windows to come.
        num_classes: Scores a pixel has.
        blend: How overlapping windows are mixed.
        threshold: As of the model.
        wanted: What is kept of the probabilities.
        device: Where.

    Memory: ``num_classes * window_height * width * 4`` bytes on the device.
    """

    def __init__(
        self,
        plan: WindowPlan,
        num_classes: int,
        *,
        blend: BlendKind,
        threshold: float | None,
        wanted: Wanted,
        device: torch.device | str,
    ) -> None:
        self._sums = TensorBand(
            height=plan.height,
            width=plan.width,
            row_starts=plan.row_starts,
            col_starts=plan.col_starts,
            row_profile=blend_profile(plan.window_height, blend),
            col_profile=blend_profile(plan.window_width, blend),
            num_classes=num_classes,
            device=device,
            threshold=threshold,
            confidence=wanted.confidence,
            entropy=wanted.entropy,
            probabilities=wanted.probabilities,
        )

    @property
    def top(self) -> int:
        """The first row that was not finished; may be set before the first window is added."""
        return self._sums.top

    @top.setter
    def top(self, row: int) -> None:
        self._sums.top = row

    def add(self, window: Window, scores: Any) -> None:
        """Add the scores of a window, (K, h, w): a tensor on any device, or an array."""
        self._sums.add(window.row, window.col, torch.as_tensor(scores))

    def pop_until(self, row: int) -> Iterator[SceneRows]:
        """Finish the rows from ``top`` to ``row`` (excluded); hand out those that have arrived.

        Raises:
            EnvironmentError: The device has not the memory to decide them.
        """
        with tell_if_too_small(
            self._sums.device,
            f"what decides rows of {self._sums.width} columns",
            fix="choose a smaller --window or --batch-size, or --device cpu",
        ):
            for rows in self._sums.pop_until(row):
                yield SceneRows(*rows)
