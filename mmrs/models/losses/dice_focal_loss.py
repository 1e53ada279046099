"""Dice beside focal cross-entropy: overlap of every class, and the pixels that are hard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmrs.errors import ConfigError
from mmrs.ops.class_sums import class_sums
from mmrs.ops.labels import check_logits_and_target, mask_ignored, valid_pixels
from mmrs.registry import MODELS

# (alpha, gamma): the focal paper's, and RMNet's as printed, which are those exchanged
FOCAL_SETTINGS = {"standard": (0.25, 2.0), "literal": (2.0, 0.25)}


def softmax_dice_loss(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = 255,
    smooth: float = 1e-5,
    classes: Literal["all", "present"] = "all",
) -> Tensor:
    """1 - mean over classes of (2 sum r p + S) / (sum r + sum p + S), sums over the batch.

    An absent class scores S / (sum p + S): 1 where nothing is predicted of it, about 0 (with next
    to no gradient) otherwise. ``classes='present'`` leaves it out of the mean.

    Args:
        logits: (B, K, H, W).
        target: (B, H, W) class ids.
        weight: (B, H, W), multiplies a pixel's part in every sum.
        ignore_index: label that never counts.
        smooth: S > 0.
        classes: which classes are averaged.

    Returns:
        () float32 in [0, 1]; 0 where no pixel counts.

    Source: RMNet, Dice term, S = 1e-5; [X] several classes are the mean of theirs.
    """
    check_logits_and_target(logits, target)
    k = logits.shape[1]
    valid = valid_pixels(target, k, ignore_index)
    probability = mask_ignored(logits, valid).softmax(dim=1)  # (B, K, H, W)
    counted = valid.to(probability) if weight is None else valid * weight.to(probability)
    index = torch.where(valid, target, 0).long()[:, None]  # (B, 1, H, W)

    # r is one-hot, so its sums run over the target class only
    on_target = probability.gather(1, index).squeeze(1) * counted  # (B, H, W)
    volume = class_sums(counted, index[:, 0], k).sum(0)  # (K,)
    overlap = class_sums(on_target, index[:, 0], k).sum(0)
    # a sum, not a product of matrices: that one adds millions of numbers in one float32
    predicted = (probability * counted[:, None]).sum((0, 2, 3))
    dice = (2 * overlap + smooth) / (volume + predicted + smooth)  # (K,)
    averaged = volume > 0 if classes == "present" else torch.ones_like(volume, dtype=torch.bool)
    return ((1 - dice) * averaged).sum() / averaged.sum().clamp(min=1)


def softmax_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: Tensor,
    gamma: float,
    ignore_index: int = 255,
) -> Tensor:
    """-alpha (1 - p)^gamma log p a pixel, with p the softmax probability of its class.

    Args:
        logits: (B, K, H, W).
        target: (B, H, W) class ids.
        alpha: () for every class, or (K,) by the target's class.
        gamma: >= 0; 0 is cross-entropy.
        ignore_index: label that never counts.

    Returns:
        (B, H, W) float32; 0 on ignored pixels.

    Source: Lin et al. (arXiv 1708.02002), eq. 5, over a softmax.
    """
    check_logits_and_target(logits, target)
    valid = valid_pixels(target, logits.shape[1], ignore_index)
    index = torch.where(valid, target, 0).long()
    log_p = mask_ignored(logits, valid).log_softmax(dim=1)
    log_p = log_p.gather(1, index[:, None]).squeeze(1)  # (B, H, W)
    # 1 - p without cancellation; below the clamp, gamma < 1 would make a slope of inf * 0
    miss = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny ** 0.5)
    alpha = alpha.to(log_p)
    scale = alpha[index] if alpha.ndim else alpha
    return torch.where(valid, -scale * miss**gamma * log_p, 0.0)


@MODELS.register_module()
class DiceFocalLoss(nn.Module):
    """Dice + 0.9 focal, as an MMSeg loss.

    On alpha: in the focal paper's binary case it balances foreground (alpha) against background
    (1 - alpha). A softmax over K classes has no such pair: one number scales every class alike, so
    the loss is Dice + 0.9 x 0.25 x mean((1 - p)^2 (-log p)). One number a class balances classes,
    each by the target's class.

    Args:
        focal_weight: factor of the focal term (the paper's lambda).
        focal: default of alpha and gamma: ``standard`` (0.25 and 2), or ``literal`` (2 and 0.25,
            as RMNet prints them: the standard ones, exchanged).
        alpha: factor of the focal term, one number or one a class; None: by ``focal``.
        gamma: how little an easy pixel counts, >= 0; None: by ``focal``.
        smooth: S of the Dice term, > 0.
        classes: averaged in the Dice term: ``all``, or those ``present`` in the batch.
        loss_weight: factor of the result.
        loss_name: key in MMSeg's log; starts with ``loss_`` to be optimised.

    Raises:
        ValueError: an option is unknown or out of range.
        ConfigError: ``alpha`` has another number of values than there are classes.

    Source: RMNet, its loss; see `softmax_dice_loss` and `softmax_focal_loss`. The focal term is
    the mean over the valid pixels.
    """

    def __init__(
        self,
        *,
        focal_weight: float = 0.9,
        focal: Literal["standard", "literal"] = "standard",
        alpha: float | Sequence[float] | None = None,
        gamma: float | None = None,
        smooth: float = 1e-5,
        classes: Literal["all", "present"] = "all",
        loss_weight: float = 1.0,
        loss_name: str = "loss_dice_focal",
    ):
        super().__init__()
        if focal not in FOCAL_SETTINGS:
            raise ValueError(f"focal must be 'standard' or 'literal', got {focal!r}")
        if classes not in ("all", "present"):
            raise ValueError(f"classes must be 'all' or 'present', got {classes!r}")
        usual_alpha, usual_gamma = FOCAL_SETTINGS[focal]
        self.focal_weight = focal_weight
        self.gamma = usual_gamma if gamma is None else gamma
        self.smooth = smooth
        self.classes = classes
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        alpha = usual_alpha if alpha is None else alpha
        self.register_buffer("alpha", torch.tensor(alpha).float(), persistent=False)
        alphas = (alpha,) if isinstance(alpha, int | float) else tuple(alpha)
        for name, value, rule in (
            ("gamma", self.gamma, self.gamma >= 0),
            ("smooth", smooth, smooth > 0),
            ("focal_weight", focal_weight, focal_weight >= 0),
            ("alpha", alpha, min(alphas, default=0) >= 0),
        ):
            if not rule:
                bound = "> 0" if name == "smooth" else ">= 0"
                raise ValueError(f"{name} must be {bound}, got {value}")

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        *,
        avg_factor: float | None = None,
    ) -> Tensor:
        """The loss of logits against target.

        Args:
            logits: (B, K, H, W).
            target: (B, H, W) class ids.
            weight: (B, H, W), a factor for each pixel.
            ignore_index: label that never counts.
            avg_factor: divisor of the focal term instead of the number of valid pixels; Dice is a
                ratio of sums and has none.

        Returns:
            0-d tensor.
        """
        k = logits.shape[1]
        if self.alpha.ndim and len(self.alpha) != k:
            raise ConfigError(
                f"{len(self.alpha)} numbers for {k} classes",
                where="DiceFocalLoss.alpha",
                fix="give one number, or one a class",
            )
        dice = softmax_dice_loss(
            logits,
            target,
            weight=weight,
            ignore_index=ignore_index,
            smooth=self.smooth,
            classes=self.classes,
        )
        focal = softmax_focal_loss(
            logits, target, alpha=self.alpha, gamma=self.gamma, ignore_index=ignore_index
        )
        if weight is not None:
            focal = focal * weight.to(focal)
        if avg_factor is None:
            avg_factor = valid_pixels(target, k, ignore_index).sum().clamp(min=1)
        return self.loss_weight * (dice + self.focal_weight * focal.sum() / avg_factor)
