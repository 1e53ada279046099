"""Hi-ResNet: a funnel at stride 4, then two and three branches of IA blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

from mmengine.model import BaseModule
from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrs.models.layers.conv_unit import conv_unit
from mmrs.models.layers.information_aggregation import InformationAggregation
from mmrs.models.layers.inverted_bottleneck import InvertedBottleneck
from mmrs.models.layers.multi_resolution import MultiResolutionModule
from mmrs.ops.attention import AttentionPath, WindowLayout
from mmrs.registry import MODELS


@MODELS.register_module()
class HiResNet(BaseModule):
    """Backbone of Hi-ResNet, and with ``stem='hrnet', block='basic'`` its ablation's base.

    image -> stem (stride 4) -> funnel -> transition -> layer 1 (2 branches)
          -> transition -> layer 2 (3 branches)

    The order of normalisation follows the blocks: before each convolution with IA blocks, after
    it with basic blocks.  The parameter counts of the paper's ablation force both.

    Args:
        in_channels: bands of the image.
        stem: ``funnel`` (two pre-norm 3x3 and IB blocks), or ``hrnet`` (HRNet's stem and four
            bottlenecks of 64 channels).
        stem_channels: width of the two convolutions that halve the size.
        funnel_channels: width after the funnel.
        num_funnel_blocks: IB blocks (or bottlenecks).
        widths: channels of the branches at strides 4, 8, 16.
        num_modules: multi-resolution modules in layer 1 and layer 2.
        num_blocks: blocks a branch in every module of layer 1 and layer 2.
        block: ``ia`` (information aggregation) or ``basic`` (ResNet's basic block).
        window_size: IA block: side of an attention window, in pixels of its map.
        window_layout: IA block: ``contiguous`` or ``grid``.
        head_dim: IA block: channels of one attention head; divides every width.
        dw_kernel_size: IA block: depthwise kernel.
        se_ratio: IA block: reduction in the channel gates.
        out_projection: IA block: a 1x1 after the attention.
        drop_path_rate: IA block: stochastic depth, rising linearly to this rate.
        attention_path: IA block: ``auto``, ``eager`` or ``sdpa``.
        with_cp: recompute the blocks in the backward pass, for less memory.
        norm_cfg: normalisation.
        init_cfg: initialisation; Kaiming by default.

    Shapes: (B, in_channels, H, W) -> three maps (B, widths[i], H / 2^(i + 2), W / 2^(i + 2)),
    sizes rounded up; any H and W.

    Raises:
        ValueError: an option is unknown or a length is wrong.

    Source: Hi-ResNet (arXiv 2305.12691), fig. 1 and sec. III.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        stem: Literal["funnel", "hrnet"] = "funnel",
        stem_channels: int = 64,
        funnel_channels: int = 256,
        num_funnel_blocks: int = 4,
        widths: Sequence[int] = (48, 96, 192),
        num_modules: Sequence[int] = (1, 4),
        num_blocks: Sequence[int] = (4, 12),
        block: Literal["ia", "basic"] = "ia",
        window_size: int = 8,
        window_layout: WindowLayout = "contiguous",
        head_dim: int = 24,
        dw_kernel_size: int = 5,
        se_ratio: int = 1,
        out_projection: bool = False,
        drop_path_rate: float = 0.0,
        attention_path: AttentionPath = "auto",
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg or _default_init())
        _check_options(stem, block, widths, num_modules, num_blocks)
        self.with_cp = with_cp
        self.norm_cfg = norm_cfg or {"type": "BN"}
        self.pre_norm = block == "ia"
        self.act_cfg = {"type": "GELU"} if self.pre_norm else {"type": "ReLU"}
        depth = sum(m * b for m, b in zip(num_modules, num_blocks, strict=True))
        drop_path_rates = [drop_path_rate * i / max(depth - 1, 1) for i in range(depth)]

        def build_block(width: int, index: int) -> nn.Module:
            if block == "basic":
                return BasicBlock(width, width, norm_cfg=self.norm_cfg)
            return InformationAggregation(
                width,
                head_dim=head_dim,
                window_size=window_size,
                window_layout=window_layout,
                dw_kernel_size=dw_kernel_size,
                se_ratio=se_ratio,
                out_projection=out_projection,
                drop_path_rate=drop_path_rates[index],
                attention_path=attention_path,
                norm_cfg=self.norm_cfg,
            )

        if stem == "funnel":
            self.stem = self._make_stem(in_channels, stem_channels, pre_norm=True)
            self.funnel = self._make_funnel(stem_channels, funnel_channels, num_funnel_blocks)
        else:
            self.stem = self._make_stem(in_channels, stem_channels, pre_norm=False)
            self.funnel = self._make_bottlenecks(stem_channels, funnel_channels, num_funnel_blocks)
        self.transition1 = nn.ModuleList(
            [
                self._transition(funnel_channels, widths[0], stride=1),
                self._transition(funnel_channels, widths[1], stride=2),
            ]
        )
        self.layer1 = self._make_layer(widths[:2], num_modules[0], num_blocks[0], build_block, 0)
        self.transition2 = self._transition(widths[1], widths[2], stride=2)
        first = num_modules[0] * num_blocks[0]
        self.layer2 = self._make_layer(widths, num_modules[1], num_blocks[1], build_block, first)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps at strides 4, 8, 16."""
        x = self._run(self.funnel, self.stem(x))
        branches = [transition(x) for transition in self.transition1]
        branches = self._run(self.layer1, branches)
        branches = [*branches, self.transition2(branches[-1])]
        return self._run(self.layer2, branches)

    def _run(self, parts: nn.Sequential, x: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
        for part in parts:
            recompute = self.with_cp and self.training
            x = checkpoint(part, x, use_reentrant=False) if recompute else part(x)
        return x

    def _make_stem(self, in_channels: int, channels: int, *, pre_norm: bool) -> nn.Sequential:
        act_cfg = {"type": "GELU"} if pre_norm else {"type": "ReLU"}
        return nn.Sequential(
            *(
                conv_unit(
                    width,
                    channels,
                    3,
                    stride=2,
                    norm_cfg=self.norm_cfg,
                    act_cfg=act_cfg,
                    pre_norm=pre_norm,
                )
                for width in (in_channels, channels)
            )
        )

    def _make_funnel(self, in_channels: int, channels: int, num_blocks: int) -> nn.Sequential:
        widths = [in_channels, *[channels] * num_blocks]
        return nn.Sequential(
            *(
                InvertedBottleneck(before, after, norm_cfg=self.norm_cfg)
                for before, after in itertools.pairwise(widths)
            )
        )

    def _make_bottlenecks(self, in_channels: int, channels: int, num_blocks: int) -> nn.Sequential:
        planes = channels // Bottleneck.expansion
        shortcut = conv_unit(in_channels, channels, 1, norm_cfg=self.norm_cfg, pre_norm=False)
        first = Bottleneck(in_channels, planes, downsample=shortcut, norm_cfg=self.norm_cfg)
        rest = (Bottleneck(channels, planes, norm_cfg=self.norm_cfg) for _ in range(num_blocks - 1))
        return nn.Sequential(first, *rest)

    def _transition(self, in_channels: int, channels: int, *, stride: int) -> nn.Sequential:
        return conv_unit(
            in_channels,
            channels,
            3,
            stride=stride,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
            pre_norm=self.pre_norm,
        )

    def _make_layer(
        self,
        widths: Sequence[int],
        num_modules: int,
        num_blocks: int,
        build_block: Callable[[int, int], nn.Module],
        first_block: int,
    ) -> nn.Sequential:
        return nn.Sequential(
            *(
                MultiResolutionModule(
                    widths,
                    block_indices=range(start, start + num_blocks),
                    build_block=build_block,
                    norm_cfg=self.norm_cfg,
                    act_cfg=self.act_cfg,
                    pre_norm=self.pre_norm,
                )
                for start in range(first_block, first_block + num_modules * num_blocks, num_blocks)
            )
        )


def _default_init() -> list[dict]:
    return [
        {"type": "Kaiming", "layer": "Conv2d"},
        {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
    ]


def _check_options(
    stem: str, block: str, widths: Sequence, num_modules: Sequence, num_blocks: Sequence
) -> None:
    if stem not in ("funnel", "hrnet"):
        raise ValueError(f"stem must be 'funnel' or 'hrnet', got {stem!r}")
    if block not in ("ia", "basic"):
        raise ValueError(f"block must be 'ia' or 'basic', got {block!r}")
    for name, value, length in (
        ("widths", widths, 3),
        ("num_modules", num_modules, 2),
        ("num_blocks", num_blocks, 2),
    ):
        if len(value) != length or min(value) < 1:
            raise ValueError(f"{name} must be {length} numbers >= 1, got {tuple(value)}")
