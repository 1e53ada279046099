"""Registered models; importing this registers them."""

from mmrs.models.backbones import HiResNet, IFWHRNet
from mmrs.models.heads import CoarseHead, RefinementHead, SubPixelHead
from mmrs.models.losses import (
    ClassAgnosticEdgeAwareLoss,
    GeneralizedDiceLoss,
    JointLoss,
    LabelSmoothingCrossEntropyLoss,
)
from mmrs.models.necks import DilatedSPP, IFWMNeck

__all__ = [
    "ClassAgnosticEdgeAwareLoss",
    "CoarseHead",
    "DilatedSPP",
    "GeneralizedDiceLoss",
    "HiResNet",
    "IFWHRNet",
    "IFWMNeck",
    "JointLoss",
    "LabelSmoothingCrossEntropyLoss",
    "RefinementHead",
    "SubPixelHead",
]
