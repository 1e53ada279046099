"""A neck that aligns the levels of any backbone by learnt flows."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from mmrs.errors import ConfigError
from mmrs.models.layers.conv_unit import conv_unit
from mmrs.models.layers.flow_warp import FlowVariant, FlowWarp
from mmrs.registry import MODELS


@MODELS.register_module()
class IFWMNeck(BaseModule):
    """Every level is brought to one width; from the coarsest on, each is warped onto the next.

    level i -> 1x1, norm -> + warp(bilinear(output i + 1)) -> output i

    Args:
        in_channels: of the levels, finest first.
        out_channels: of every output.
        ratios: size of each level over that of the next coarser one, powers of two; one less
            than levels. 2 everywhere by default; a dilated backbone has levels of equal size, 1.
        variant: where the flow comes from, see `FlowWarp`.
        norm_cfg: normalisation.
        init_cfg: initialisation; Xavier by default, zero in the flows.

    Shapes: maps (B, in_channels[i], H_i, W_i) -> maps (B, out_channels, H_i, W_i); any sizes.

    Raises:
        ValueError: an option does not fit.
        ConfigError: the maps that arrive are not those of ``in_channels``.

    Source: IFWM's module; its use as a neck is ours.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        *,
        ratios: Sequence[int] | None = None,
        variant: FlowVariant = "ifwm",
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(
            init_cfg or {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"}
        )
        if not in_channels:
            raise ValueError("in_channels must name at least one level, got none")
        ratios = (2,) * (len(in_channels) - 1) if ratios is None else tuple(ratios)
        if len(ratios) != len(in_channels) - 1:
            raise ValueError(
                f"ratios must be {len(in_channels) - 1} numbers for {len(in_channels)} levels, "
                f"got {ratios}"
            )
        self.in_channels = tuple(in_channels)
        norm_cfg = norm_cfg or {"type": "BN"}
        self.laterals = ModuleList(
            conv_unit(channels, out_channels, 1, norm_cfg=norm_cfg, pre_norm=False)
            for channels in in_channels
        )
        self.flow_warps = ModuleList(
            FlowWarp(out_channels, ratio=ratio, variant=variant) for ratio in ratios
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The aligned levels, finest first."""
        channels = tuple(x.shape[1] for x in inputs)
        if channels != self.in_channels:
            raise ConfigError(
                f"the maps that arrive have {channels} channels, but in_channels is "
                f"{self.in_channels}",
                where="IFWMNeck.in_channels",
                fix=f"set in_channels={channels}, and ratios to one fewer",
            )
        levels = [lateral(x) for lateral, x in zip(self.laterals, inputs, strict=True)]
        for i in reversed(range(len(self.flow_warps))):
            levels[i] = self.flow_warps[i](levels[i], levels[i + 1])
        return tuple(levels)
