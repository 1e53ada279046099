"""The block of Hi-ResNet's funnel: thin ends, a thick middle."""

from __future__ import annotations

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn


class InvertedBottleneck(BaseModule):
    """IB block: 3x3 -> norm -> 1x1 to four times the width -> GELU -> 1x1 back, plus the input.

    Args:
        in_channels: of the input.
        channels: of the output.
        expansion: width of the middle over ``channels``.
        norm_cfg: normalisation after the 3x3 and, where the channels change, on the shortcut.
        init_cfg: initialisation.

    Shapes: (B, in_channels, H, W) -> (B, channels, H, W).
    Source: Hi-ResNet (arXiv 2305.12691), sec. III-A.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        expansion: int = 4,
        norm_cfg: dict,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.spatial = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.expand = nn.Conv2d(channels, channels * expansion, 1, bias=False)
        self.act = nn.GELU()
        self.reduce = nn.Conv2d(channels * expansion, channels, 1, bias=False)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != channels:
            self.shortcut = nn.Sequential(
                build_norm_layer(norm_cfg, in_channels)[1],
                nn.Conv2d(in_channels, channels, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, (B, channels, H, W)."""
        y = self.norm(self.spatial(x))
        y = self.reduce(self.act(self.expand(y)))
        return y + self.shortcut(x)
