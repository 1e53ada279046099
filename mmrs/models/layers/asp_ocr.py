"""ASP-OCR: object-contextual features beside atrous convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrs.models.layers.conv_unit import conv_unit
from mmrs.ops.region_context import attend_regions, gather_regions


class ObjectContext(BaseModule):
    """Every pixel gathers from the regions of the coarse segmentation.

    Args:
        channels: of the features.
        key_channels: of queries, keys and values.
        norm_cfg: normalisation of the projections.
        act_cfg: activation of the projections.
        init_cfg: initialisation.

    Shapes: features (B, channels, H, W), region_logits (B, K, H, W) -> (B, channels, H, W).
    Source: Yuan et al. (arXiv 1909.11065).
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        norm_cfg: dict,
        act_cfg: dict,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)

        def project(in_channels: int, out_channels: int) -> nn.Sequential:
            return conv_unit(
                in_channels,
                out_channels,
                1,
                bias=True,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
                pre_norm=False,
            )

        def project_twice() -> nn.Sequential:
            return nn.Sequential(
                project(channels, key_channels), project(key_channels, key_channels)
            )

        self.query = project_twice()
        self.key = project_twice()
        self.value = project(channels, key_channels)
        self.expand = project(key_channels, channels)

    def forward(self, features: Tensor, region_logits: Tensor) -> Tensor:
        """The context of every pixel."""
        regions = gather_regions(features, region_logits)  # (B, K, C)
        as_map = regions.transpose(1, 2).unsqueeze(-1)  # (B, C, K, 1)
        query = self.query(features)
        key = self.key(as_map).flatten(2).transpose(1, 2)  # (B, K, D)
        value = self.value(as_map).flatten(2).transpose(1, 2)
        return self.expand(attend_regions(query, key, value))


class AtrousObjectContext(BaseModule):
    """ASP-OCR: object context, a 1x1 and three dilated 3x3, joined by a 1x1.

    Args:
        in_channels: of the concatenated backbone features.
        channels: of every path and of the output.
        key_channels: of the object attention.
        dilations: of the 3x3 paths.
        norm_cfg: normalisation.
        act_cfg: activation.
        init_cfg: initialisation.

    Shapes: x (B, in_channels, H, W), region_logits (B, K, H, W) -> (B, channels, H, W).
    Source: Hi-ResNet (arXiv 2305.12691), refinement; widths by its parameter counts.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        key_channels: int,
        dilations: Sequence[int],
        norm_cfg: dict,
        act_cfg: dict,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)

        def conv(inputs: int, kernel_size: int, dilation: int = 1) -> nn.Sequential:
            return conv_unit(
                inputs,
                channels,
                kernel_size,
                dilation=dilation,
                bias=True,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
                pre_norm=False,
            )

        self.pixel = conv(in_channels, 3)
        self.context = ObjectContext(channels, key_channels, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.point = conv(in_channels, 1)
        self.atrous = nn.ModuleList(conv(in_channels, 3, dilation) for dilation in dilations)
        self.join = conv((2 + len(dilations)) * channels, 1)

    def forward(self, x: Tensor, region_logits: Tensor) -> Tensor:
        """The refined features."""
        paths = [self.context(self.pixel(x), region_logits), self.point(x)]
        paths += [atrous(x) for atrous in self.atrous]
        return self.join(torch.cat(paths, dim=1))
