"""A convolution with its normalisation before or after it."""

from __future__ import annotations

from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import nn


def conv_unit(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    bias: bool = False,
    norm_cfg: dict,
    act_cfg: dict | None = None,
    pre_norm: bool,
) -> nn.Sequential:
    """Norm -> conv -> activation (``pre_norm``, Hi-ResNet), or conv -> norm -> activation (HRNet).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: odd; the padding keeps the size at stride 1.
        stride: of the convolution.
        dilation: of the convolution.
        bias: of the convolution; mmcv's ``ConvModule`` warns of one before a norm, but the
            paper's parameter counts force it in the heads.
        norm_cfg: the normalisation, over ``in_channels`` or ``out_channels``.
        act_cfg: the activation, or None for a linear unit.
        pre_norm: which order.

    Returns:
        The sequence.
    """
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        bias=bias,
    )
    norm = build_norm_layer(norm_cfg, in_channels if pre_norm else out_channels)[1]
    layers = [norm, conv] if pre_norm else [conv, norm]
    if act_cfg is not None:
        layers.append(build_activation_layer(act_cfg))
    return nn.Sequential(*layers)
