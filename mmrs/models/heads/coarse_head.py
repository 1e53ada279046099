"""The head that the parameter counts of Hi-ResNet's ablation pin down."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmrs.models.layers.conv_unit import conv_unit
from mmrs.registry import MODELS


@MODELS.register_module()
class CoarseHead(BaseDecodeHead):
    """All maps at the size of the first -> concat -> 3x3 -> norm -> activation -> 1x1.

    Args:
        in_channels: of every map.
        channels: of the hidden map.
        in_index: which maps of the backbone.
        norm_cfg: normalisation; batch norm by default.
        dropout_ratio: before the classifier; the paper names none.
        loss_decode: cross-entropy over the valid pixels by default.
        **kwargs: `mmseg.models.decode_heads.BaseDecodeHead`: num_classes, ignore_index, ...

    Shapes: maps (B, in_channels[i], H_i, W_i) -> logits (B, K, H_0, W_0).
    Source: Hi-ResNet (arXiv 2305.12691), table VI: 68.6 M for HRNet-W48 admits no plain 1x1 head.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 512,
        *,
        in_index: Sequence[int] = (0, 1, 2),
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.0,
        loss_decode: dict | list[dict] | None = None,
        **kwargs,
    ):
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            in_index=list(in_index),
            input_transform="resize_concat",
            norm_cfg=norm_cfg or {"type": "BN"},
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode or {"type": "CrossEntropyLoss", "avg_non_ignore": True},
            **kwargs,
        )
        self.hidden = conv_unit(
            self.in_channels,
            channels,
            3,
            bias=True,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
            pre_norm=False,
        )
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits at the size of the first map."""
        return self.cls_seg(self.hidden(self._transform_inputs(inputs)))
