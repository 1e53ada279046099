"""Cross-entropy against a smoothed target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrs.ops.labels import check_logits_and_target, mask_ignored, valid_pixels
from mmrs.registry import MODELS


def label_smoothing_cross_entropy(
    logits: Tensor, target: Tensor, *, smoothing: float = 0.1, ignore_index: int = 255
) -> Tensor:
    """Cross-entropy a pixel, with 1 - eps on the target class and eps / (K - 1) on the others.

    Args:
        logits: (B, K, H, W), K >= 2.
        target: (B, H, W) class ids.
        smoothing: eps in [0, (K - 1) / K].
        ignore_index: label that never counts.

    Returns:
        (B, H, W) float32; 0 on ignored pixels.

    Raises:
        ValueError: shapes are wrong, or there is but one class.

    Source: Hi-ResNet (arXiv 2305.12691), eq. 5; Szegedy et al. (arXiv 1512.00567) divide by K.
    """
    check_logits_and_target(logits, target)
    k = logits.shape[1]
    if k < 2:
        raise ValueError(f"label smoothing needs at least two classes, got logits with K={k}")
    valid = valid_pixels(target, k, ignore_index)
    return F.cross_entropy(
        mask_ignored(logits, valid),
        torch.where(valid, target, -100).long(),
        reduction="none",
        ignore_index=-100,
        # PyTorch spreads its smoothing over all K classes, the target's included
        label_smoothing=smoothing * k / (k - 1),
    )


@MODELS.register_module()
class LabelSmoothingCrossEntropyLoss(nn.Module):
    """Label-smoothing cross-entropy as an MMSeg loss: the mean over valid pixels.

    Args:
        smoothing: eps in [0, 1); 0 is plain cross-entropy.
        class_weight: one factor a class, by the target's class; the mean divides by their sum.
        loss_weight: factor of the result.
        loss_name: key in MMSeg's log; starts with ``loss_`` to be optimised.

    Raises:
        ValueError: ``smoothing`` is out of range.

    Source: see `label_smoothing_cross_entropy`; the paper prints a sum over the pixels, which
    would grow with the crop.
    """

    def __init__(
        self,
        *,
        smoothing: float = 0.1,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_lsce",
    ):
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be in [0, 1), got {smoothing}")
        self.smoothing = smoothing
        self.class_weight = None if class_weight is None else torch.tensor(class_weight)
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        *,
        avg_factor: float | None = None,
    ) -> Tensor:
        """The loss of logits (B, K, H, W) against target (B, H, W); a 0-d tensor.

        Args:
            logits: raw scores.
            target: class ids.
            weight: (B, H, W) factor a pixel; it does not change the divisor.
            ignore_index: label that never counts.
            avg_factor: divisor instead of the number of valid pixels.
        """
        loss = label_smoothing_cross_entropy(
            logits, target, smoothing=self.smoothing, ignore_index=ignore_index
        )
        counted = valid_pixels(target, logits.shape[1], ignore_index).float()
        if self.class_weight is not None:
            if len(self.class_weight) != logits.shape[1]:
                raise ValueError(
                    f"class_weight must have one entry a class, got {len(self.class_weight)} "
                    f"for {logits.shape[1]} classes"
                )
            index = torch.where(counted > 0, target, 0).long()
            counted = counted * self.class_weight.to(loss)[index]
            loss = loss * counted
        if weight is not None:
            loss = loss * weight
        divisor = counted.sum().clamp(min=torch.finfo(torch.float32).tiny)
        return self.loss_weight * loss.sum() / (divisor if avg_factor is None else avg_factor)
