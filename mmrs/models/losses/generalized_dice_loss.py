"""Generalised Dice: overlap of all classes, rare ones weighted up."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mmrs.ops.class_sums import class_sums
from mmrs.ops.labels import check_logits_and_target, mask_ignored, valid_pixels
from mmrs.registry import MODELS


def generalized_dice_loss(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    per_image: bool = False,
) -> Tensor:
    """1 - 2 sum_l w_l sum r p / sum_l w_l sum (r + p), with w_l = 1 / (sum r)^2.

    Args:
        logits: (B, K, H, W).
        target: (B, H, W) class ids.
        weight: (B, H, W), multiplies a pixel's part in every sum.
        ignore_index: label that never counts.
        per_image: one loss an image instead of one over the batch.

    Returns:
        () or, per image, (B,) float32 in [0, 1]; 0 where no pixel counts.

    Source: Sudre et al. (arXiv 1707.03237); Hi-ResNet (arXiv 2305.12691), eq. 4.
    """
    check_logits_and_target(logits, target)
    k = logits.shape[1]
    valid = valid_pixels(target, k, ignore_index)
    probability = mask_ignored(logits, valid).softmax(dim=1)  # (B, K, H, W)
    counted = valid.to(probability) if weight is None else valid * weight.to(probability)
    index = torch.where(valid, target, 0).long()  # (B, H, W)

    # sums of r, r p and p a class; r is one-hot, so two of them run over the target class only
    on_target = probability.gather(1, index[:, None]).squeeze(1) * counted  # (B, H, W)
    volume = class_sums(counted, index, k)  # (B, K)
    overlap = class_sums(on_target, index, k)
    # a sum, not a product of matrices: that one adds millions of numbers in one float32
    predicted = (probability * counted[:, None]).sum((2, 3))
    if not per_image:
        volume, overlap, predicted = (x.sum(0) for x in (volume, overlap, predicted))
    total = volume + predicted
    # absent class: the paper divides by zero here; its weight is 0
    present = volume > 0
    class_weight = torch.where(present, 1 / torch.where(present, volume, 1.0) ** 2, 0.0)
    denominator = (class_weight * total).sum(-1)
    counts = denominator > 0
    ratio = 2 * (class_weight * overlap).sum(-1) / torch.where(counts, denominator, 1.0)
    return torch.where(counts, 1 - ratio, ratio * 0.0)


@MODELS.register_module()
class GeneralizedDiceLoss(nn.Module):
    """Generalised Dice loss as an MMSeg loss.

    Args:
        sums_over: ``batch`` (one loss), or ``image`` (the mean of one loss an image, over the
            images that have a valid pixel).
        loss_weight: factor of the result.
        loss_name: key in MMSeg's log; starts with ``loss_`` to be optimised.

    Raises:
        ValueError: ``sums_over`` is unknown.

    Source: see `generalized_dice_loss`.
    """

    def __init__(
        self,
        *,
        sums_over: Literal["batch", "image"] = "batch",
        loss_weight: float = 1.0,
        loss_name: str = "loss_gd",
    ):
        super().__init__()
        if sums_over not in ("batch", "image"):
            raise ValueError(f"sums_over must be 'batch' or 'image', got {sums_over!r}")
        self.sums_over = sums_over
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """The loss of logits (B, K, H, W) against target (B, H, W); a 0-d tensor."""
        per_image = self.sums_over == "image"
        loss = generalized_dice_loss(
            logits, target, weight=weight, ignore_index=ignore_index, per_image=per_image
        )
        if per_image:
            valid = valid_pixels(target, logits.shape[1], ignore_index).flatten(1).any(1)
            loss = (loss * valid).sum() / valid.sum().clamp(min=1)
        return self.loss_weight * loss
