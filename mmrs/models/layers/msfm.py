"""RMNet's decoder block: two ways of upsampling at once, then the skip of the same level."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrs.models.layers.conv_unit import conv_unit

Fusion = Literal["sum", "concat"]
Upsampling = Literal["msfm", "plain"]


class MSFMBlock(nn.Module):
    """Upsample by a deconvolution (a) and bilinearly (b), fuse, append the skip, convolve twice.

    x -> a = deconvolution 2x2 s2; b = bilinear x2 -> 1x1; a + b -> concat skip -> 2 x (3x3 BN ReLU)

    Both ways double the size. Where that is not the skip's size, one row or column too many (an
    encoder rounds odd sizes up) is cropped at the bottom or right, and anything else (levels that
    are not a factor of 2 apart) is resized bilinearly.

    Args:
        in_channels: of the map from the level below.
        out_channels: of the result, and of a and b each.
        skip_channels: of the encoder's map of this level; 0 for a block without one.
        fusion: ``sum`` (a + b), or ``concat`` (a beside b: the block's first 3x3 is wider).
        upsampling: ``msfm`` (a and b), or ``plain`` (b alone), which is the ablation's.
        norm_cfg: normalisation of the 3x3 convolutions.
        act_cfg: their activation; ReLU by default.

    Shapes: (B, in_channels, h, w), skip (B, skip_channels, H, W) -> (B, out_channels, H, W);
    without a skip (B, out_channels, 2h, 2w).

    Raises:
        ValueError: an option is unknown, or plain upsampling is asked to concatenate.

    Source: RMNet, its MSFM. The paper's 41.80 M (sum) and 44.95 M (concat) leave no room for a
    normalisation between upsampling and fusion; biases (2 k) would go unnoticed and are left out.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        skip_channels: int = 0,
        fusion: Fusion = "sum",
        upsampling: Upsampling = "msfm",
        norm_cfg: dict,
        act_cfg: dict | None = None,
    ):
        super().__init__()
        if fusion not in ("sum", "concat"):
            raise ValueError(f"fusion must be 'sum' or 'concat', got {fusion!r}")
        if upsampling not in ("msfm", "plain"):
            raise ValueError(f"upsampling must be 'msfm' or 'plain', got {upsampling!r}")
        if upsampling == "plain" and fusion == "concat":
            raise ValueError("fusion='concat' needs upsampling='msfm': plain has one map to fuse")
        self.fusion = fusion
        self.deconv = (
            nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False)
            if upsampling == "msfm"
            else None
        )
        self.project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        fused_channels = 2 * out_channels if fusion == "concat" else out_channels
        widths = (fused_channels + skip_channels, out_channels)
        self.convs = nn.Sequential(
            *(
                conv_unit(
                    width,
                    out_channels,
                    3,
                    norm_cfg=norm_cfg,
                    act_cfg=act_cfg or {"type": "ReLU"},
                    pre_norm=False,
                )
                for width in widths
            )
        )

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """The decoded map, at the skip's size or at twice the input's."""
        x = self.upsample(x)
        if skip is not None:
            x = torch.cat([fit_to(x, skip), skip], dim=1)
        return self.convs(x)

    def upsample(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels or twice that, 2h, 2w)."""
        # a 1x1 and a bilinear step commute; convolving first costs a quarter
        b = F.interpolate(self.project(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        if self.deconv is None:
            return b
        a = self.deconv(x)
        return a + b if self.fusion == "sum" else torch.cat([a, b], dim=1)


def fit_to(x: Tensor, like: Tensor) -> Tensor:
    """Bring a map to the size of another.

    Args:
        x: (B, C, h, w).
        like: (B, _, H, W).

    Returns:
        (B, C, H, W): cropped at the bottom and right where h and w are H and W or one more,
        else resized bilinearly.
    """
    h, w = like.shape[-2:]
    if x.shape[-2] - h in (0, 1) and x.shape[-1] - w in (0, 1):
        return x[..., :h, :w]
    return F.interpolate(x, size=(h, w), mode="bilinear", align_corners=False)
