"""ResNet whose basic blocks dilate both of their convolutions."""

from __future__ import annotations

from mmseg.models.backbones.resnet import BasicBlock, ResNet
from torch import nn

from mmrs.registry import MODELS


@MODELS.register_module()
class DilatedResNet(ResNet):
    """MMSegmentation's ResNet, with the second 3x3 of a basic block dilated like the first.

    The stock basic block dilates its first convolution only, so a dilated ResNet-18 or 34 sees
    less than the network that its weights come from. Here a stage whose stride 2 became a
    dilation of 2 computes, at every second pixel, exactly what it computed with the stride:
    ``strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=True`` at output stride 16.
    With ``contract_dilation`` the convolution that held the stride keeps half the dilation, as in
    the stock class; without it, every 3x3 of the stage has the full one.

    Names and shapes of the weights are ResNet's, so its checkpoints load. A bottleneck has one
    3x3, so with depth 50 and more this is the stock class.

    Args:
        depth: 18, 34, 50, 101 or 152.
        **kwargs: `mmseg.models.backbones.ResNet`: strides, dilations, contract_dilation, ...

    Raises:
        ValueError: the depth is unknown.

    Source: DeepLab's atrous convolution (arXiv 1706.05587, sec. 3.1).
    """

    def __init__(self, depth: int, **kwargs):
        if depth not in self.arch_settings:
            raise ValueError(f"depth must be one of {sorted(self.arch_settings)}, got {depth!r}")
        super().__init__(depth, **kwargs)

    def make_res_layer(self, **kwargs) -> nn.Sequential:
        """One stage, as the stock class makes it, with its second convolutions dilated."""
        layer = super().make_res_layer(**kwargs)
        for block in layer:
            if isinstance(block, BasicBlock):
                # the first block may have contracted the stage's dilation for its own stride
                whole = block.dilation if kwargs["multi_grid"] else kwargs["dilation"]
                block.conv2.dilation = block.conv2.padding = (whole, whole)
        return layer
