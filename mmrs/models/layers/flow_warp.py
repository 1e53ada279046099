"""Improved flow warp module (IFWM): a coarse map aligned with a fine one, and its ablations."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrs.ops.narrow_conv import narrow_conv2d
from mmrs.ops.warp import flow_warp

FlowVariant = Literal["ifwm", "rifw", "lsf", "sf"]


class FlowWarp(BaseModule):
    """Bring a coarse map to a fine one's size, move its pixels by a learnt flow, add.

    coarse -> bilinear to the fine size -> warp by flow -> + fine

    Where the flow comes from, with k = 2 ratio - 1 (3, 7, 15 for 2x, 4x, 8x):

    - ``ifwm``: 1x1 on the fine map + k x k on the coarse one;
    - ``rifw``: 3x3 on the fine map + k x k on the coarse one;
    - ``lsf``: k x k on both maps concatenated;
    - ``sf``: 3x3 on both maps concatenated.

    The convolutions are zero at the start, and the module is bilinear interpolation then.

    Args:
        channels: of both maps.
        ratio: size of the fine map over that of the coarse one, a power of two.
        variant: where the flow comes from.
        init_cfg: initialisation; zero by default.

    Shapes: (B, channels, H, W) and (B, channels, about H / ratio, about W / ratio) ->
    (B, channels, H, W).

    Raises:
        ValueError: an option is unknown, or the maps do not have ``channels`` channels each.

    Source: IFWM: flow = pixel_conv(X_S) + region_conv(X_D), output = X_S + warp(X_D, flow).
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: int = 2,
        variant: FlowVariant = "ifwm",
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg or {"type": "Constant", "layer": "Conv2d", "val": 0})
        if variant not in get_args(FlowVariant):
            raise ValueError(f"variant must be one of {get_args(FlowVariant)}, got {variant!r}")
        kernel = region_kernel(ratio)
        self.channels = channels
        self.variant = variant
        if variant in ("sf", "lsf"):
            self.joint_conv = FlowConv(2 * channels, 3 if variant == "sf" else kernel)
        else:
            self.pixel_conv = FlowConv(channels, 1 if variant == "ifwm" else 3)
            self.region_conv = FlowConv(channels, kernel)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Fine map + aligned coarse map."""
        return fine + self.align(fine, coarse)

    def align(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """The coarse map at the fine one's size, warped: what is added where several maps meet."""
        if fine.shape[1] != self.channels or coarse.shape[1] != self.channels:
            raise ValueError(
                f"both maps must have {self.channels} channels, got "
                f"{fine.shape[1]} (fine) and {coarse.shape[1]} (coarse)"
            )
        size = fine.shape[-2:]
        if coarse.shape[-2:] != size:
            coarse = F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        return flow_warp(coarse, self.flow(fine, coarse))

    def flow(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """(B, 2, H, W) displacements in pixels, from two maps of one size."""
        if self.variant in ("sf", "lsf"):
            return self.joint_conv(torch.cat([fine, coarse], dim=1))
        return self.pixel_conv(fine) + self.region_conv(coarse)


def region_kernel(ratio: int) -> int:
    """Kernel of the region convolution: 2 ratio - 1.

    Raises:
        ValueError: ``ratio`` is no power of two.
    """
    if ratio < 1 or ratio & (ratio - 1):
        raise ValueError(f"ratio must be a power of two, got {ratio}")
    return 2 * ratio - 1


class FlowConv(nn.Conv2d):
    """A bias-free convolution to the two channels of a flow, zero at the start.

    Args:
        in_channels: of the input.
        kernel_size: odd; the padding keeps the size.

    Shapes: (B, in_channels, H, W) -> (B, 2, H, W).
    """

    def __init__(self, in_channels: int, kernel_size: int):
        super().__init__(in_channels, 2, kernel_size, padding=kernel_size // 2, bias=False)
        # here as well as in init_cfg: stock weights may be loaded without `init_weights`
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The flow of one map."""
        # from 7 x 7 on, CPUs are many times faster by the other order; GPUs were not measured
        if x.device.type == "cpu" and self.kernel_size[0] >= 7:
            return narrow_conv2d(x, self.weight)
        return super().forward(x)
