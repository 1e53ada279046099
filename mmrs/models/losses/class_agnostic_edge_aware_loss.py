"""CEA: squared error of one class, weighted by the distance to the edges of mask and prediction."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from mmrs.ops.class_probability import class_probability
from mmrs.ops.edge_distance import edge_weight
from mmrs.ops.image_by_image import sum_image_by_image
from mmrs.ops.labels import (
    check_logits_and_target,
    class_presence,
    draw_present_class,
    mask_ignored,
    valid_pixels,
)
from mmrs.ops.weighted_squared_error import weighted_squared_error
from mmrs.registry import MODELS


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
        if class_index is None:
            classes = torch.arange(k, device=logits.device)
            share = class_presence(target, k, ignore_index).float()
            share = share / share.sum().clamp(min=1)
        else:
            classes = torch.as_tensor(class_index, device=logits.device).reshape(1)
            share = torch.ones(1, device=logits.device)
        error = partial(
            edge_weighted_error,
            classes=classes,
            share=share,
            ignore_index=ignore_index,
            cap_px=self.cap_px,
            power=self.power,
        )
        maps = [target] if weight is None else [target, weight]
        loss = sum_image_by_image(error, logits, *maps)
        if avg_factor is None:
            avg_factor = valid_pixels(target, k, ignore_index).sum().clamp(min=1)
        return self.loss_weight * loss / avg_factor


def edge_weighted_error(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    classes: Tensor,
    share: Tensor,
    ignore_index: int,
    cap_px: float,
    power: float,
) -> Tensor:
    """Sum over classes and valid pixels of share (T - P)^2 (D_T^b + D_S^b).

    Args:
        logits: (B, K, H, W) raw scores.
        target: (B, H, W) class ids.
        weight: (B, H, W) factor a pixel.
        classes: (N,) int64, one class or all K in order.
        share: (N,) factor a class.
        ignore_index: label that never counts.
        cap_px: largest distance, in pixels.
        power: b of the paper.

    Returns:
        0-d tensor, float32 or float64.
    """
    valid = valid_pixels(target, logits.shape[1], ignore_index)
    logits = mask_ignored(logits, valid)
    if len(classes) == 1:
        probability = class_probability(logits, classes)[:, None]
    else:
        probability = logits.softmax(dim=1)  # (B, N, H, W)
    with torch.no_grad():
        truth = target[:, None] == classes[:, None, None]
        factor = edge_weight(truth, valid, cap_px=cap_px, power=power)
        factor += edge_weight(probability > 0.5, valid, cap_px=cap_px, power=power)
        pixel_weight = valid if weight is None else valid * weight
        factor *= share[:, None, None] * pixel_weight[:, None]
    return weighted_squared_error(probability, truth, factor.to(probability))
