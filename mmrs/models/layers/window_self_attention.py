"""Window multi-head self-attention with 1x1 projections."""

from __future__ import annotations

from torch import Tensor, nn

from mmrs.ops.attention import AttentionPath, WindowLayout, window_attention


class WindowSelfAttention(nn.Module):
    """WMHSA of the IA block: q and k from one 1x1, v from another followed by GELU.

    Args:
        channels: of input and output.
        num_heads: heads that the channels are split into.
        window_size: side of a window, in pixels of this map.
        window_layout: ``contiguous`` or ``grid``.
        out_projection: add a 1x1 after the attention; the paper's counts leave no room for one.
        attention_path: ``auto``, ``eager`` or ``sdpa``.

    Shapes: (B, channels, H, W) -> the same.
    Source: Hi-ResNet (arXiv 2305.12691), sec. III-B.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int,
        window_size: int = 8,
        window_layout: WindowLayout = "contiguous",
        out_projection: bool = False,
        attention_path: AttentionPath = "auto",
    ):
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.window_layout: WindowLayout = window_layout
        self.attention_path: AttentionPath = attention_path
        self.query_key = nn.Conv2d(channels, 2 * channels, 1)
        self.value = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU())
        self.project: nn.Module = (
            nn.Conv2d(channels, channels, 1) if out_projection else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """What every pixel gathers from its window."""
        query, key = self.query_key(x).chunk(2, dim=1)
        context = window_attention(
            query,
            key,
            self.value(x),
            num_heads=self.num_heads,
            window_size=self.window_size,
            layout=self.window_layout,
            path=self.attention_path,
        )
        return self.project(context)
