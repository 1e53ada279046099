"""RMNet's encoder: ResNet-50 with basic blocks in its first stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmrs.errors import ConfigError
from mmrs.models.backbones.matching_weights import load_matching_weights
from mmrs.models.layers.conv_unit import conv_unit
from mmrs.registry import MODELS


class PlainBasicBlock(BasicBlock):
    """A basic block without its shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        """The two convolutions."""
        x = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(x)))


class PlainBottleneck(Bottleneck):
    """A bottleneck without its shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        """The three convolutions."""
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.relu(self.norm2(self.conv2(x)))
        return self.relu(self.norm3(self.conv3(x)))


@MODELS.register_module()
class RMNetEncoder(BaseModule):
    """Encoder of RMNet, and with ``residual=False`` that of its ablation's CNet.

    image -> conv1 7x7 s2 -> max-pool 3x3 s2 -> layer1 (basic blocks) -> layer2-4 (bottlenecks, s2)

    The parameters are named as torchvision names ResNet's. Stock ResNet-50 weights,
    ``init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')``, give every tensor
    whose name and shape match and leave the others at their random start, which the log tells:
    ResNet-50 has bottlenecks in layer1, so that stage loads in part only.

    Args:
        in_channels: bands of the image.
        base_channels: width of the stem; the stages have 1, 8, 16 and 32 times as many.
        num_blocks: blocks of the four stages.
        residual: shortcuts over the blocks, 1x1 where shapes change; without them the
            convolutions are the same and plain.
        frozen_stages: train neither the stem (0) nor the stages up to this one (1 to 4), and keep
            their norms' statistics; -1 trains all.
        norm_eval: keep the statistics of every norm while training.
        with_cp: recompute the blocks in the backward pass, for less memory.
        norm_cfg: normalisation; batch norm by default.
        pretrained: the old name of a ``Pretrained`` init_cfg, as stock models hand it on.
        init_cfg: initialisation; Kaiming by default. ``Pretrained`` as above, with the options
            ``prefix`` and ``map_location`` of MMEngine; what it leaves is Kaiming.

    Shapes: (B, in_channels, H, W) -> five maps at strides 2 (before pooling), 4, 8, 16, 32 with
    base_channels x (1, 1, 8, 16, 32) channels, sizes rounded up; any H and W.

    Raises:
        ValueError: an option is out of range.
        ConfigError: an image has another number of bands.
        CheckpointError: the weights cannot be had, or none of them matches.

    Source: RMNet; the encoder's 23.39 M parameters. The paper calls it ResNet50, which has
    bottlenecks in every stage; its stage 2 has basic blocks. [X] ReLU after the first norm.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        base_channels: int = 64,
        num_blocks: Sequence[int] = (3, 4, 6, 3),
        residual: bool = True,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        norm_cfg: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        if pretrained is not None:
            if init_cfg is not None:
                raise ValueError("pretrained and init_cfg must not both be set")
            init_cfg = {"type": "Pretrained", "checkpoint": pretrained}
        random, self.pretrained = _split_init(init_cfg)
        super().__init__(random or _default_init())
        if in_channels < 1 or base_channels < 1:
            raise ValueError(
                f"in_channels and base_channels must be >= 1, got {in_channels} and {base_channels}"
            )
        if len(num_blocks) != 4 or min(num_blocks) < 1:
            raise ValueError(f"num_blocks must be 4 numbers >= 1, got {tuple(num_blocks)}")
        if not -1 <= frozen_stages <= 4:
            raise ValueError(f"frozen_stages must be in -1..4, got {frozen_stages}")
        self.residual = residual
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.norm_cfg = norm_cfg or {"type": "BN"}
        self.conv1 = nn.Conv2d(in_channels, base_channels, 7, stride=2, padding=3, bias=False)
        self.norm1_name, norm1 = build_norm_layer(self.norm_cfg, base_channels, postfix=1)
        self.add_module(self.norm1_name, norm1)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        c = base_channels
        self.layer1 = self._make_basic_stage(c, num_blocks[0])
        self.layer2 = self._make_stage(c, 2 * c, num_blocks[1])
        self.layer3 = self._make_stage(8 * c, 4 * c, num_blocks[2])
        self.layer4 = self._make_stage(16 * c, 8 * c, num_blocks[3])
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def init_weights(self) -> None:
        """Random weights, then those of ``Pretrained`` that match."""
        first = not self.is_init
        super().init_weights()
        if first and self.pretrained is not None:
            load_matching_weights(self, **self.pretrained)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps at strides 2, 4, 8, 16, 32."""
        if x.shape[1] != self.conv1.in_channels:
            raise ConfigError(
                f"an image has {x.shape[1]} bands, but in_channels is {self.conv1.in_channels}",
                where="RMNetEncoder.in_channels",
                fix=f"set in_channels={x.shape[1]}",
            )
        stem = self.relu(getattr(self, self.norm1_name)(self.conv1(x)))
        maps = [stem]
        x = self.maxpool(stem)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = self._run(stage, x)
            maps.append(x)
        return maps

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen parts and, with ``norm_eval``, all norms stay in evaluation."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        stem = [self.conv1, getattr(self, self.norm1_name)]
        stages = [self.layer1, self.layer2, self.layer3, self.layer4]
        return [*stem, *stages[: self.frozen_stages]] if self.frozen_stages >= 0 else []

    def _run(self, blocks: nn.Sequential, x: Tensor) -> Tensor:
        for block in blocks:
            recompute = self.with_cp and self.training
            x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        return x

    def _make_basic_stage(self, channels: int, num_blocks: int) -> nn.Sequential:
        block = BasicBlock if self.residual else PlainBasicBlock
        return nn.Sequential(
            *(block(channels, channels, norm_cfg=self.norm_cfg) for _ in range(num_blocks))
        )

    def _make_stage(self, in_channels: int, planes: int, num_blocks: int) -> nn.Sequential:
        block = Bottleneck if self.residual else PlainBottleneck
        channels = planes * block.expansion
        shortcut = None
        if self.residual:
            shortcut = conv_unit(
                in_channels, channels, 1, stride=2, norm_cfg=self.norm_cfg, pre_norm=False
            )
        first = block(in_channels, planes, stride=2, downsample=shortcut, norm_cfg=self.norm_cfg)
        rest = (block(channels, planes, norm_cfg=self.norm_cfg) for _ in range(num_blocks - 1))
        return nn.Sequential(first, *rest)


def _default_init() -> list[dict]:
    return [
        {"type": "Kaiming", "layer": "Conv2d"},
        {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
    ]


def _split_init(init_cfg: dict | list[dict] | None) -> tuple[list[dict], dict | None]:
    """What is random, and the arguments of ``Pretrained``, None without it."""
    entries = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or [])
    random = [entry for entry in entries if entry.get("type") != "Pretrained"]
    pretrained = [entry for entry in entries if entry.get("type") == "Pretrained"]
    if len(pretrained) > 1:
        raise ValueError(f"init_cfg must hold one Pretrained at most, got {len(pretrained)}")
    if not pretrained:
        return random, None
    return random, {key: value for key, value in pretrained[0].items() if key != "type"}
