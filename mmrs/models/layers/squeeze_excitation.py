"""Channel gates from the global mean."""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate computed from the means of all channels.

    Args:
        channels: of the input.
        ratio: the hidden width is ``channels // ratio``; Hi-ResNet's parameter counts force 1.

    Shapes: (B, channels, H, W) -> the same.
    Source: Hu et al. (arXiv 1709.01507); SiLU inside, as Hi-ResNet's IA block has it.
    """

    def __init__(self, channels: int, *, ratio: int = 1):
        super().__init__()
        if ratio < 1 or channels // ratio < 1:
            raise ValueError(f"ratio must be in 1 .. channels={channels}, got {ratio}")
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, channels // ratio, 1)
        self.act = nn.SiLU()
        self.excite = nn.Conv2d(channels // ratio, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """The gated input."""
        gate = self.gate(self.excite(self.act(self.squeeze(self.pool(x)))))  # (B, C, 1, 1)
        return x * gate
