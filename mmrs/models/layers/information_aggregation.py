"""The IA block of Hi-ResNet: channel gates, window attention, a depthwise convolution."""

from __future__ import annotations

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.drop import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrs.models.layers.squeeze_excitation import SqueezeExcitation
from mmrs.models.layers.window_self_attention import WindowSelfAttention
from mmrs.ops.attention import AttentionPath, WindowLayout


class InformationAggregation(BaseModule):
    """IA block, 6 C^2 + 34 C parameters with the default options.

    Args:
        channels: C of input and output, a multiple of ``head_dim``.
        head_dim: channels of one attention head.
        window_size: side of an attention window, in pixels of this map.
        window_layout: ``contiguous`` or ``grid``: the paper's wording admits both.
        dw_kernel_size: depthwise kernel, odd.
        se_ratio: reduction inside the channel gates.
        out_projection: add a 1x1 after the attention.
        drop_path_rate: chance in [0, 1) to skip the block for a sample while training.
        attention_path: ``auto``, ``eager`` or ``sdpa``.
        norm_cfg: normalisation.
        init_cfg: initialisation.

    Shapes: (B, C, H, W) -> the same; any H and W.

    Raises:
        ValueError: C is no multiple of ``head_dim``, or the kernel is even.

    Source: Hi-ResNet (arXiv 2305.12691), sec. III-B; kernel and head width by its parameter counts.
    """

    def __init__(
        self,
        channels: int,
        *,
        head_dim: int = 24,
        window_size: int = 8,
        window_layout: WindowLayout = "contiguous",
        dw_kernel_size: int = 5,
        se_ratio: int = 1,
        out_projection: bool = False,
        drop_path_rate: float = 0.0,
        attention_path: AttentionPath = "auto",
        norm_cfg: dict,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if channels % head_dim:
            raise ValueError(f"channels must be a multiple of head_dim={head_dim}, got {channels}")
        if dw_kernel_size % 2 == 0:
            raise ValueError(f"dw_kernel_size must be odd, got {dw_kernel_size}")
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.se = SqueezeExcitation(channels, ratio=se_ratio)
        self.attention = WindowSelfAttention(
            channels,
            num_heads=channels // head_dim,
            window_size=window_size,
            window_layout=window_layout,
            out_projection=out_projection,
            attention_path=attention_path,
        )
        self.local = nn.Sequential(
            nn.Conv2d(
                channels,
                channels,
                dw_kernel_size,
                padding=dw_kernel_size // 2,
                groups=channels,
                bias=False,
            ),
            build_norm_layer(norm_cfg, channels)[1],
            nn.SiLU(),
        )
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = self.se(self.norm(x))
        y = y + self.attention(y)
        y = y + self.local(y)
        return x + self.drop_path(self.project(y))
