"""Hi-ResNet's head: a coarse segmentation, refined by ASP-OCR, both supervised."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import accuracy
from torch import Tensor, nn

from mmrs.models.layers.asp_ocr import AtrousObjectContext
from mmrs.models.layers.conv_unit import conv_unit
from mmrs.registry import MODELS


@MODELS.register_module()
class RefinementHead(BaseDecodeHead):
    """Coarse logits -> regions -> ASP-OCR -> refined logits; the output is their sum, 1:1.

    It takes any list of feature maps, brought to the size of the first, so it sits on stock
    backbones as well.

    Args:
        in_channels: of every map.
        in_index: which maps of the backbone.
        coarse_channels: hidden width of the coarse head.
        channels: width of ASP-OCR.
        key_channels: width of the object attention.
        dilations: of the three 3x3 paths.
        coarse_loss_weight: of the coarse logits' losses.
        refined_loss_weight: of the refined logits' losses.
        norm_cfg: normalisation; batch norm by default.
        dropout_ratio: before the refined classifier.
        loss_decode: the paper's weighted sum by default.
        init_cfg: initialisation; small normal classifiers by default.
        **kwargs: `mmseg.models.decode_heads.BaseDecodeHead`: num_classes, ignore_index, ...

    Shapes: maps (B, in_channels[i], H_i, W_i) -> logits (B, K, H_0, W_0).
    Source: Hi-ResNet (arXiv 2305.12691), sec. III-C; eqs. 8-9 for the two losses.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        in_index: Sequence[int] = (0, 1, 2),
        coarse_channels: int = 512,
        channels: int = 256,
        key_channels: int = 128,
        dilations: Sequence[int] = (12, 24, 36),
        coarse_loss_weight: float = 1.0,
        refined_loss_weight: float = 1.0,
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.1,
        loss_decode: dict | list[dict] | None = None,
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ):
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            in_index=list(in_index),
            input_transform="resize_concat",
            norm_cfg=norm_cfg or {"type": "BN"},
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode or {"type": "mmrs.JointLoss"},
            init_cfg=init_cfg or _default_init(),
            **kwargs,
        )
        self.coarse_loss_weight = coarse_loss_weight
        self.refined_loss_weight = refined_loss_weight
        self.coarse = conv_unit(
            self.in_channels,
            coarse_channels,
            3,
            bias=True,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
            pre_norm=False,
        )
        self.coarse_seg = nn.Conv2d(coarse_channels, self.out_channels, 1, bias=False)
        self.refine = AtrousObjectContext(
            self.in_channels,
            channels,
            key_channels=key_channels,
            dilations=dilations,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """The sum of coarse and refined logits."""
        coarse, refined = self.forward_both(inputs)
        return coarse + refined

    def forward_both(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Coarse and refined logits, each (B, K, H_0, W_0)."""
        x = self._transform_inputs(inputs)
        coarse = self.coarse_seg(self.coarse(x))
        refined = self.cls_seg(self.refine(x, coarse))
        return coarse, refined

    def loss(self, inputs: Sequence[Tensor], batch_data_samples: list, train_cfg: dict) -> dict:
        """Losses of both outputs, as MMSeg logs them.

        Args:
            inputs: feature maps.
            batch_data_samples: with the ground truth.
            train_cfg: unused; part of MMSeg's call.

        Returns:
            ``coarse_<loss_name>``, ``refined_<loss_name>`` and ``acc_seg``.
        """
        del train_cfg
        target = self._stack_batch_gt(batch_data_samples).squeeze(1)  # (B, H, W)
        coarse, refined = (
            F.interpolate(
                logits, target.shape[-2:], mode="bilinear", align_corners=self.align_corners
            )
            for logits in self.forward_both(inputs)
        )
        outputs = [
            ("coarse", coarse, self.coarse_loss_weight),
            ("refined", refined, self.refined_loss_weight),
        ]
        weights = {
            name: None if self.sampler is None else self.sampler.sample(logits, target[:, None])
            for name, logits, _ in outputs
        }
        losses: dict[str, Tensor] = {}
        for loss in self._losses():
            # one draw for both outputs: the same class, the same random weights
            draw = {}
            if hasattr(loss, "draw"):
                draw = loss.draw(target, self.num_classes, self.ignore_index)
            for name, logits, ratio in outputs:
                terms = _named_terms(loss, logits, target, weights[name], self.ignore_index, draw)
                for term, value in terms:
                    key = f"{name}_{term}"
                    losses[key] = losses.get(key, 0) + ratio * value
        losses["acc_seg"] = accuracy(coarse + refined, target, ignore_index=self.ignore_index)
        return losses

    def _losses(self) -> list[nn.Module]:
        if isinstance(self.loss_decode, nn.ModuleList):
            return list(self.loss_decode)
        return [self.loss_decode]


def _default_init() -> dict:
    return {
        "type": "Normal",
        "std": 0.01,
        "override": [{"name": "conv_seg"}, {"name": "coarse_seg"}],
    }


def _named_terms(
    loss: nn.Module,
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    draw: dict[str, Tensor],
) -> list[tuple[str, Tensor]]:
    if hasattr(loss, "terms"):
        return list(
            loss.terms(logits, target, weight=weight, ignore_index=ignore_index, **draw).items()
        )
    value = loss(logits, target, weight=weight, ignore_index=ignore_index, **draw)
    return [(loss.loss_name, value)]
