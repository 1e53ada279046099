"""RMNet's decoder as a neck, for any backbone's maps."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrs.errors import ConfigError
from mmrs.models.layers.msfm import Fusion, MSFMBlock, Upsampling
from mmrs.registry import MODELS


@MODELS.register_module()
class MSFM(BaseModule):
    """Decode from the lowest resolution up, one MSFM block a level.

    With N maps in, the first N - 1 blocks (from the bottom) take the next higher map as their
    skip, and each further block doubles the size without one. RMNet has five maps (strides 2 to
    32) and five blocks, so its first output has the image's size: a head of one 1x1 convolution,
    ``FCNHead(num_convs=0, concat_input=False, in_index=0)``, gives logits there. Where the image's
    side is odd that output is one pixel larger, and MMSeg resizes the logits.

    Args:
        in_channels: of every map, highest resolution first, as backbones return them.
        out_channels: of every decoded map, highest resolution first; at least N - 1.
        fusion: ``sum`` or ``concat``, see `MSFMBlock`.
        upsampling: ``msfm``, or ``plain`` (the ablation's rows without MSFM).
        norm_cfg: normalisation; batch norm by default.
        act_cfg: activation; ReLU by default.
        init_cfg: initialisation; Kaiming by default.

    Shapes: N maps (B, in_channels[i], H_i, W_i) -> len(out_channels) maps, highest resolution
    first; the last has the size of the second-to-last input.

    Raises:
        ValueError: there are fewer than two levels, or fewer blocks than skips.
        ConfigError: the maps that arrive are not those of ``in_channels``.

    Source: RMNet; 41.80 M with `RMNetEncoder` and a + b, 44.95 M with concatenation.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        *,
        fusion: Fusion = "sum",
        upsampling: Upsampling = "msfm",
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg or _default_init())
        if len(in_channels) < 2:
            raise ValueError(f"in_channels must have at least 2 levels, got {tuple(in_channels)}")
        if len(out_channels) < len(in_channels) - 1:
            raise ValueError(
                f"out_channels must have at least {len(in_channels) - 1} levels for "
                f"{len(in_channels)} in_channels, got {tuple(out_channels)}"
            )
        self.in_channels = tuple(in_channels)
        widths = [in_channels[-1], *reversed(out_channels)]
        skips = [*reversed(in_channels[:-1])]
        skips += [0] * (len(out_channels) - len(skips))
        self.blocks = nn.ModuleList(
            MSFMBlock(
                below,
                width,
                skip_channels=skip,
                fusion=fusion,
                upsampling=upsampling,
                norm_cfg=norm_cfg or {"type": "BN"},
                act_cfg=act_cfg,
            )
            for below, width, skip in zip(widths[:-1], widths[1:], skips, strict=True)
        )

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Decoded maps, highest resolution first."""
        found = tuple(x.shape[1] for x in inputs)
        if found != self.in_channels:
            raise ConfigError(
                f"the maps that arrive have {found} channels, but in_channels is "
                f"{self.in_channels}",
                where="MSFM.in_channels",
                fix=f"set in_channels={found}, and give out_channels at least {len(found) - 1} "
                "numbers",
            )
        *skips, x = inputs
        outputs = []
        for block in self.blocks:
            x = block(x, skips.pop() if skips else None)
            outputs.append(x)
        return outputs[::-1]


def _default_init() -> list[dict]:
    return [
        {"type": "Kaiming", "layer": ["Conv2d", "ConvTranspose2d"]},
        {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
    ]
