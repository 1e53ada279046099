"""Registered models; importing this registers them."""

from mmrs.models.backbones import HiResNet, IFWHRNet, RMNetEncoder
from mmrs.models.heads import CoarseHead, RefinementHead, SubPixelHead
from mmrs.models.losses import (
    ClassAgnosticEdgeAwareLoss,
    DiceFocalLoss,
    GeneralizedDiceLoss,
    JointLoss,
    LabelSmoothingCrossEntropyLoss,
)
from mmrs.models.necks import MSFM, DilatedSPP, IFWMNeck

__all__ = [
    "MSFM",
    "ClassAgnosticEdgeAwareLoss",
    "CoarseHead",
    "DiceFocalLoss",
    "DilatedSPP",
    "GeneralizedDiceLoss",
    "HiResNet",
    "IFWHRNet",
    "IFWMNeck",
    "JointLoss",
    "LabelSmoothingCrossEntropyLoss",
    "RMNetEncoder",
    "RefinementHead",
    "SubPixelHead",
]
