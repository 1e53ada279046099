"""CEA: squared error of one class, weighted by the distance to the edges of mask and prediction."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mmrs.ops.class_probability import class_probability
from mmrs.ops.distance import manhattan_distance
from mmrs.ops.labels import (
    check_logits_and_target,
    class_presence,
    draw_present_class,
    mask_ignored,
    valid_pixels,
)
from mmrs.ops.weighted_squared_error import weighted_squared_error
from mmrs.registry import MODELS


def edge_distance(cells: Tensor) -> Tensor:
    """D(M) = d(M) + d(not M) of every cell M of a partition.

    Where the cells are disjoint, the distance to "not M" is the smallest distance to another
    cell, so one transform a cell gives both terms.

    Args:
        cells: (B, N, H, W) bool, disjoint; a pixel in no cell (ignored) is a source for none.

    Returns:
        (B, N, H, W) float32, in pixels; valid on the pixels of the cells; +inf where either
        side is empty.

    Source: Hi-ResNet (arXiv 2305.12691), eq. 7.
    """
    outside = manhattan_distance(cells)  # (B, N, H, W), 0 inside the cell
    nearest = torch.full_like(outside[:, 0], torch.inf)
    second = nearest.clone()  # inside a cell the nearest cell is the own one, at 0
    for distance in outside.unbind(dim=1):
        second = torch.minimum(second, torch.maximum(nearest, distance))
        nearest = torch.minimum(nearest, distance)
    return torch.where(cells, second[:, None], outside)


def edge_weight(mask: Tensor, valid: Tensor, *, cap_px: float, power: float) -> Tensor:
    """(D / cap)^power of binary masks, D capped.

    Args:
        mask: (B, N, H, W) bool, disjoint along N.
        valid: (B, H, W) bool; other pixels are neither mask nor background.
        cap_px: largest distance, in pixels; an empty or full mask has it everywhere.
        power: exponent, b in the paper.

    Returns:
        (B, N, H, W) float32 in [0, 1].
    """
    mask = mask & valid[:, None]
    rest = valid[:, None] & ~mask.any(dim=1, keepdim=True)
    distance = edge_distance(torch.cat([mask, rest], dim=1))[:, :-1]
    return distance.clamp_(max=cap_px).mul_(1 / cap_px).pow_(power)


@MODELS.register_module()
class ClassAgnosticEdgeAwareLoss(nn.Module):
    """CEA loss: mean over valid pixels of (T - P)^2 (D_T^b + D_S^b).

    P is the softmax probability of the class, T its mask, S = [P > 0.5]; no gradient flows
    through the distances.  They are capped, then divided by the cap, so that the term has the
    scale of the others.

    Args:
        classes: ``one`` draws a present class a call (all others are background), ``all`` takes
            the mean over every present class.
        cap_px: largest distance that counts, in pixels.
        power: b of the paper.
        seed: of the draws; the class depends on (seed, step) and the classes present.
        loss_weight: factor of the result.
        loss_name: key in MMSeg's log; starts with ``loss_`` to be optimised.

    Raises:
        ValueError: an option is out of range.

    Source: Hi-ResNet (arXiv 2305.12691), sec. III-D, eq. 7 and fig. 2.  Exact distances here,
    cascaded convolutions there; the cap is our choice.
    """

    step: Tensor

    def __init__(
        self,
        *,
        classes: Literal["one", "all"] = "one",
        cap_px: float = 32.0,
        power: float = 2.0,
        seed: int = 0,
        loss_weight: float = 1.0,
        loss_name: str = "loss_cea",
    ):
        super().__init__()
        if classes not in ("one", "all"):
            raise ValueError(f"classes must be 'one' or 'all', got {classes!r}")
        if cap_px <= 0:
            raise ValueError(f"cap_px must be > 0, got {cap_px}")
        if power <= 0:
            raise ValueError(f"power must be > 0, got {power}")
        self.classes = classes
        self.cap_px = cap_px
        self.power = power
        self.seed = seed
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        # saved with the model: a resumed run goes on with the draws of the interrupted one
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def draw(self, target: Tensor, num_classes: int, ignore_index: int = 255) -> dict[str, Tensor]:
        """The class of this step, for all calls that are to share it.

        Args:
            target: (B, H, W) class ids.
            num_classes: K.
            ignore_index: label that never counts.

        Returns:
            ``class_index``, an argument of `forward`; nothing where all classes count.
        """
        if self.classes == "all":
            return {}
        index = draw_present_class(
            target,
            num_classes=num_classes,
            ignore_index=ignore_index,
            seed=self.seed,
            step=self.step,
        )
        self.step += 1
        return {"class_index": index}

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        *,
        class_index: Tensor | int | None = None,
        avg_factor: float | None = None,
    ) -> Tensor:
        """The loss of logits (B, K, H, W) against target (B, H, W); a 0-d tensor.

        Args:
            logits: raw scores.
            target: class ids.
            weight: (B, H, W) factor a pixel.
            ignore_index: label that never counts.
            class_index: the class, where a head has drawn it; else this loss draws.
            avg_factor: divisor instead of the number of valid pixels.
        """
        check_logits_and_target(logits, target)
        k = logits.shape[1]
        if class_index is None:
            class_index = self.draw(target, k, ignore_index).get("class_index")
        valid = valid_pixels(target, k, ignore_index)
        logits = mask_ignored(logits, valid)
        if class_index is None:
            classes = torch.arange(k, device=logits.device)
            share = class_presence(target, k, ignore_index).float()
            share = share / share.sum().clamp(min=1)
            probability = logits.softmax(dim=1)  # (B, N, H, W)
        else:
            classes = torch.as_tensor(class_index, device=logits.device).reshape(1)
            share = torch.ones(1, device=logits.device)
            probability = class_probability(logits, classes)[:, None]
        with torch.no_grad():
            truth = target[:, None] == classes[:, None, None]
            options = {"cap_px": self.cap_px, "power": self.power}
            factor = edge_weight(truth, valid, **options)
            factor += edge_weight(probability > 0.5, valid, **options)
            pixel_weight = valid if weight is None else valid * weight
            factor *= share[:, None, None] * pixel_weight[:, None]
        loss = weighted_squared_error(probability, truth, factor.to(probability))
        divisor = valid.sum().clamp(min=1) if avg_factor is None else avg_factor
        return self.loss_weight * loss / divisor
