"""A multi-resolution module: blocks on every branch, then every branch into every other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import torch.nn.functional as F
from mmcv.cnn import build_activation_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrs.models.layers.conv_unit import conv_unit


class Fusion(BaseModule):
    """Every output is the sum of all branches, brought to its size and width.

    From a lower resolution: 1x1, then bilinear (they commute; this order is cheaper).  From a
    higher one: a chain of 3x3 at stride 2, an activation between, the width changes in the last.

    Args:
        channels: of the branches, highest resolution first.
        norm_cfg: normalisation of every unit.
        act_cfg: activation inside the chains and after the sum.
        pre_norm: normalise before each convolution (Hi-ResNet) or after it (HRNet).
        init_cfg: initialisation.

    Shapes: branch i is (B, channels[i], H / 2^i, W / 2^i); the outputs have the same shapes.
    Source: HRNet (arXiv 1908.07919); order by Hi-ResNet's parameter counts.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        norm_cfg: dict,
        act_cfg: dict,
        pre_norm: bool,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.act = build_activation_layer(act_cfg)

        def up(source: int, target: int) -> nn.Module:
            return conv_unit(
                channels[source], channels[target], 1, norm_cfg=norm_cfg, pre_norm=pre_norm
            )

        def down(source: int, target: int) -> nn.Module:
            steps = range(source + 1, target + 1)
            return nn.Sequential(
                *(
                    conv_unit(
                        channels[source],
                        channels[target] if step == target else channels[source],
                        3,
                        stride=2,
                        norm_cfg=norm_cfg,
                        act_cfg=None if step == target else act_cfg,
                        pre_norm=pre_norm,
                    )
                    for step in steps
                )
            )

        pairs = permutations(range(len(channels)), 2)
        self.paths = nn.ModuleDict(
            {f"{s}_to_{t}": up(s, t) if s > t else down(s, t) for s, t in pairs}
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """The fused branches."""
        fused = []
        for target, total in enumerate(branches):
            size = total.shape[-2:]
            for source, x in enumerate(branches):
                if source == target:
                    continue
                y = self.paths[f"{source}_to_{target}"](x)
                if source > target:
                    y = F.interpolate(y, size=size, mode="bilinear", align_corners=False)
                total = total + y
            fused.append(self.act(total))
        return fused


class MultiResolutionModule(BaseModule):
    """Blocks on each branch, then the exchange between the branches.

    Args:
        channels: of the branches, highest resolution first.
        block_indices: of the blocks on each branch, counted through the whole network.
        build_block: makes the block of a given width and index.
        norm_cfg: normalisation of the fusion.
        act_cfg: activation of the fusion.
        pre_norm: order in the fusion's units.
        init_cfg: initialisation.

    Shapes: those of `Fusion`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        block_indices: Sequence[int],
        build_block: Callable[[int, int], nn.Module],
        norm_cfg: dict,
        act_cfg: dict,
        pre_norm: bool,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.branches = nn.ModuleList(
            nn.Sequential(*(build_block(width, index) for index in block_indices))
            for width in channels
        )
        self.fusion = Fusion(channels, norm_cfg=norm_cfg, act_cfg=act_cfg, pre_norm=pre_norm)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """The branches after blocks and fusion."""
        return self.fusion([blocks(x) for blocks, x in zip(self.branches, branches, strict=True)])
