"""Spatial pyramid pooling by dilation alone: parallel 3x3 convolutions, no image pooling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrs.errors import ConfigError
from mmrs.models.layers.conv_unit import conv_unit
from mmrs.registry import MODELS


@MODELS.register_module()
class DilatedSPP(BaseModule):
    """One map -> parallel dilated 3x3 -> concat -> 1x1.

    Every convolution is followed by norm and activation.

    Args:
        in_channels: of the chosen map.
        channels: of every path and of the output.
        dilations: one path each.
        in_index: which map of the backbone.
        norm_cfg: normalisation; batch norm by default.
        act_cfg: activation; ReLU by default.
        init_cfg: initialisation; Kaiming by default.

    Shapes: maps (B, C_i, H_i, W_i) -> a tuple of one map (B, channels, H, W), with the H and W
    of the chosen map; a head takes it by ``in_index=0`` or ``-1``.

    Raises:
        ValueError: no dilation, or a dilation below 1.
        ConfigError: there are too few maps, or the map has other channels.

    Source: the dilated-SPP paper: ResNet101, rates 1, 6, 12, 18.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        *,
        dilations: Sequence[int] = (1, 6, 12, 18),
        in_index: int = -1,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg or {"type": "Kaiming", "layer": "Conv2d"})
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations must be one or more numbers >= 1, got {dilations!r}")
        self.in_channels = in_channels
        self.in_index = in_index
        settings: dict = {
            "norm_cfg": norm_cfg or {"type": "BN"},
            "act_cfg": act_cfg or {"type": "ReLU"},
            "pre_norm": False,
        }
        self.paths = nn.ModuleList(
            conv_unit(in_channels, channels, 3, dilation=dilation, **settings)
            for dilation in dilations
        )
        self.fuse = conv_unit(len(dilations) * channels, channels, 1, **settings)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """The fused map, alone in a tuple."""
        x = self._choose(inputs)
        pyramid = torch.cat([path(x) for path in self.paths], dim=1)  # (B, paths x channels, H, W)
        return (self.fuse(pyramid),)

    def _choose(self, inputs: Sequence[Tensor]) -> Tensor:
        if not -len(inputs) <= self.in_index < len(inputs):
            raise ConfigError(
                f"in_index is {self.in_index}, but the backbone gives {len(inputs)} maps",
                where="DilatedSPP.in_index",
                fix=f"choose from 0 to {len(inputs) - 1}",
            )
        x = inputs[self.in_index]
        if x.shape[1] != self.in_channels:
            raise ConfigError(
                f"in_channels is {self.in_channels}, but map {self.in_index} has "
                f"{x.shape[1]} channels",
                where="DilatedSPP.in_channels",
                fix=f"set in_channels={x.shape[1]}, or choose another in_index",
            )
        return x
