"""The weighted sum of several losses, as Hi-ResNet combines its three."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmrs.ops.labels import hashed_uniform
from mmrs.registry import MODELS


@MODELS.register_module()
class JointLoss(nn.Module):
    """Sum of losses under fixed, softmax-normalised or random weights.

    With the defaults it is Hi-ResNet's: 0.3923 GD + 0.3923 LSCE + 0.2153 CEA, which is the
    softmax of (1, 1, 0.4).

    Args:
        losses: configs of the losses; None for Generalised Dice, label-smoothing cross-entropy
            and class-agnostic edge-aware.
        weights: one a loss.
        weighting: ``softmax`` of the weights, the weights as they are (``fixed``), or
            ``random``: softmax of standard normal numbers drawn anew every step.
        seed: of the random weights.
        loss_weight: factor of the result.
        loss_name: key in MMSeg's log; starts with ``loss_`` to be optimised.

    Raises:
        ValueError: lengths differ, or ``weighting`` is unknown.

    Source: Hi-ResNet (arXiv 2305.12691), eqs. 8-9, table VIII; random weighting by Lin et al.
    (arXiv 2111.10603).
    """

    step: Tensor

    def __init__(
        self,
        losses: Sequence[dict] | None = None,
        *,
        weights: Sequence[float] = (1.0, 1.0, 0.4),
        weighting: Literal["softmax", "fixed", "random"] = "softmax",
        seed: int = 0,
        loss_weight: float = 1.0,
        loss_name: str = "loss_joint",
    ):
        super().__init__()
        if losses is None:
            losses = [
                {"type": "mmrs.GeneralizedDiceLoss"},
                {"type": "mmrs.LabelSmoothingCrossEntropyLoss"},
                {"type": "mmrs.ClassAgnosticEdgeAwareLoss"},
            ]
        if len(losses) != len(weights):
            raise ValueError(
                f"weights must have one number a loss, got {len(weights)} for {len(losses)} losses"
            )
        if weighting not in ("softmax", "fixed", "random"):
            raise ValueError(f"weighting must be 'softmax', 'fixed' or 'random', got {weighting!r}")
        self.losses = nn.ModuleList(MODELS.build(loss) for loss in losses)
        self.weighting = weighting
        self.seed = seed
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        numbers = torch.tensor(weights, dtype=torch.float32)
        if weighting == "softmax":
            numbers = numbers.softmax(dim=0)
        self.register_buffer("weights", numbers, persistent=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def draw(self, target: Tensor, num_classes: int, ignore_index: int = 255) -> dict[str, Tensor]:
        """What is random in this step, for all calls that are to share it.

        Args:
            target: (B, H, W) class ids.
            num_classes: K.
            ignore_index: label that never counts.

        Returns:
            Arguments of `forward`: ``term_weights``, and ``class_index`` if a loss draws one.
        """
        draws = {"term_weights": self._draw_weights()}
        for loss in self.losses:
            if hasattr(loss, "draw"):
                draws.update(loss.draw(target, num_classes, ignore_index))
        return draws

    def terms(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        *,
        term_weights: Tensor | None = None,
        class_index: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The weighted losses by their names; arguments as in `forward`."""
        if term_weights is None:
            drawn = self.draw(target, logits.shape[1], ignore_index)
            term_weights, class_index = drawn["term_weights"], drawn.get("class_index")
        terms: dict[str, Tensor] = {}
        for loss, factor in zip(self.losses, term_weights, strict=True):
            shared = {"class_index": class_index} if hasattr(loss, "draw") else {}
            value = loss(logits, target, weight=weight, ignore_index=ignore_index, **shared)
            value = self.loss_weight * factor * value
            terms[loss.loss_name] = terms.get(loss.loss_name, 0) + value
        return terms

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        *,
        term_weights: Tensor | None = None,
        class_index: Tensor | None = None,
    ) -> Tensor:
        """The weighted sum for logits (B, K, H, W) and target (B, H, W); a 0-d tensor.

        Args:
            logits: raw scores.
            target: class ids.
            weight: (B, H, W) factor a pixel.
            ignore_index: label that never counts.
            term_weights: (number of losses,), from `draw`; else drawn here.
            class_index: 0-d, from `draw`; else drawn here.
        """
        terms = self.terms(
            logits,
            target,
            weight,
            ignore_index,
            term_weights=term_weights,
            class_index=class_index,
        )
        return torch.stack(list(terms.values())).sum()

    def _draw_weights(self) -> Tensor:
        if self.weighting != "random":
            return self.weights
        device = self.step.device
        uniform = hashed_uniform(len(self.losses), seed=self.seed, step=self.step, device=device)
        self.step += 1
        normal = math.sqrt(2) * torch.erfinv(2 * uniform.clamp(min=2**-24) - 1)
        return normal.softmax(dim=0)
