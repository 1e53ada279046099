"""Registered backbones."""

from mmrs.models.backbones.dilated_resnet import DilatedResNet
from mmrs.models.backbones.hiresnet import HiResNet
from mmrs.models.backbones.ifw_hrnet import IFWHRNet
from mmrs.models.backbones.rmnet_encoder import RMNetEncoder

__all__ = ["DilatedResNet", "HiResNet", "IFWHRNet", "RMNetEncoder"]
