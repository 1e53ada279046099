"""A convolution whose channels become the pixels of a larger map."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrs.ops.icnr import icnr_


class SubPixelConv(BaseModule):
    """Convolution to r² K channels, then a pixel shuffle by r.

    Args:
        in_channels: of the map.
        out_channels: K.
        upscale_factor: r.
        kernel_size: of the convolution, odd.
        bias: of the convolution.
        icnr: start as a nearest-neighbour upsampling; applied by ``init_weights``, after the
            ``init_cfg`` of this module and of those that hold it, before pretrained weights.
        init_cfg: initialisation of the convolution.

    Shapes: (B, in_channels, H, W) -> (B, K, r H, r W).

    Raises:
        ValueError: r is below 1, or the kernel is even.

    Source: Shi et al. (arXiv 1609.05158), eqs. 3-4.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        upscale_factor: int,
        *,
        kernel_size: int = 1,
        bias: bool = False,
        icnr: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        if upscale_factor < 1:
            raise ValueError(f"upscale_factor must be >= 1, got {upscale_factor}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.upscale_factor = upscale_factor
        self.icnr = icnr
        self.conv = nn.Conv2d(
            in_channels,
            out_channels * upscale_factor**2,
            kernel_size,
            padding=kernel_size // 2,
            bias=bias,
        )
        self.shuffle = nn.PixelShuffle(upscale_factor)

    def init_weights(self) -> None:
        """Initialise the convolution, then make the filters of each cell equal."""
        super().init_weights()
        if self.icnr:
            icnr_(self.conv.weight, self.upscale_factor)
            if self.conv.bias is not None:
                icnr_(self.conv.bias, self.upscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        """The map, r times as high and wide."""
        out: Tensor = self.shuffle(self.conv(x))
        return out
