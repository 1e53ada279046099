"""HRNet whose exchange units align what comes from lower resolutions by a learnt flow."""

from __future__ import annotations

from typing import Self

from mmengine.model import ModuleDict, Sequential
from mmseg.models.backbones.hrnet import HRModule, HRNet
from mmseg.models.utils import resize
from torch import Tensor

from mmrs.models.layers.flow_warp import FlowVariant, FlowWarp
from mmrs.registry import MODELS


class FlowWarpHRModule(HRModule):
    """HRNet's module with a `FlowWarp` behind every upward path.

    Args:
        *args: see MMSegmentation's ``HRModule``.
        variant: where the flow comes from, see `FlowWarp`.
        **kwargs: see MMSegmentation's ``HRModule``.

    The stock parts keep their keys; ``flow_warps['<from>_to_<to>']`` are new.
    """

    def __init__(self, *args, variant: FlowVariant = "ifwm", **kwargs):
        super().__init__(*args, **kwargs)
        self.flow_warps = ModuleDict(
            {
                f"{source}_to_{target}": FlowWarp(
                    self.in_channels[target], ratio=2 ** (source - target), variant=variant
                )
                for target in range(len(self.fuse_layers or ()))
                for source in range(target + 1, self.num_branches)
            }
        )

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """The branches after blocks and exchange."""
        branches = [blocks(branch) for blocks, branch in zip(self.branches, x, strict=True)]
        if self.fuse_layers is None:
            return branches
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            own = branches[target]
            total = own
            for source, path in enumerate(paths):
                if source < target:
                    total = total + path(branches[source])
                elif source > target:
                    # 1x1 + norm + bilinear as in HRNet, which for odd sizes is one pixel too large
                    coarse = resize(
                        path(branches[source]),
                        size=own.shape[-2:],
                        mode="bilinear",
                        align_corners=False,
                    )
                    total = total + self.flow_warps[f"{source}_to_{target}"].align(own, coarse)
            fused.append(self.relu(total))
        return fused


@MODELS.register_module()
class IFWHRNet(HRNet):
    """MMSegmentation's HRNet with IFWM in place of each bilinear upward path, stages 2 to 4.

    Stock HRNet weights load, and with them alone the model is that HRNet, because the flows are
    zero at the start. The heads' final concatenation stays bilinear.

    Args:
        extra: widths and depths of the stages, see MMSegmentation's ``HRNet``.
        variant: ``ifwm``, or a row of the ablation: ``rifw``, ``lsf``, ``sf``.
        **kwargs: see MMSegmentation's ``HRNet``.

    Shapes: (B, in_channels, H, W) -> one map a branch at strides 4, 8, 16, 32; any H and W.

    Raises:
        ValueError: ``variant`` is unknown.

    Source: IFWM in HRNet; 60 k, 107 k and 160 k parameters over HRNet-W18, W32 and W48.
    """

    def __init__(self, extra: dict, *, variant: FlowVariant = "ifwm", **kwargs):
        self.variant = variant  # the base class builds the stages, which need it
        super().__init__(extra, **kwargs)

    def _make_stage(
        self, layer_config: dict, in_channels: list[int], multiscale_output: bool = True
    ) -> tuple[Sequential, list[int]]:
        num_modules = layer_config["num_modules"]
        modules = [
            FlowWarpHRModule(
                layer_config["num_branches"],
                self.blocks_dict[layer_config["block"]],
                layer_config["num_blocks"],
                in_channels,
                layer_config["num_channels"],
                multiscale_output or index < num_modules - 1,
                with_cp=self.with_cp,
                norm_cfg=self.norm_cfg,
                conv_cfg=self.conv_cfg,
                variant=self.variant,
            )
            for index in range(num_modules)
        ]
        return Sequential(*modules), in_channels

    def _freeze_stages(self) -> None:
        """Freeze as the stock class does, all but the flows: no weights were loaded for them."""
        flows = [p for name, p in self.named_parameters() if "flow_warps" in name]
        before = [parameter.requires_grad for parameter in flows]
        super()._freeze_stages()
        for parameter, requires_grad in zip(flows, before, strict=True):
            parameter.requires_grad_(requires_grad)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; MMSegmentation's method returns None where torch's returns the module."""
        super().train(mode)
        return self
