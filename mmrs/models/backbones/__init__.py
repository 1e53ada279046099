"""Registered backbones."""

from mmrs.models.backbones.hiresnet import HiResNet
from mmrs.models.backbones.ifw_hrnet import IFWHRNet

__all__ = ["HiResNet", "IFWHRNet"]
