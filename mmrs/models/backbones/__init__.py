"""Registered backbones."""

from mmrs.models.backbones.hiresnet import HiResNet

__all__ = ["HiResNet"]
