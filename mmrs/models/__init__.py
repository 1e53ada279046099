"""Registered models; importing this registers them."""

from mmrs.models.backbones import HiResNet, IFWHRNet
from mmrs.models.heads import CoarseHead, RefinementHead
from mmrs.models.losses import (
    ClassAgnosticEdgeAwareLoss,
    GeneralizedDiceLoss,
    JointLoss,
    LabelSmoothingCrossEntropyLoss,
)
from mmrs.models.necks import IFWMNeck

__all__ = [
    "ClassAgnosticEdgeAwareLoss",
    "CoarseHead",
    "GeneralizedDiceLoss",
    "HiResNet",
    "IFWHRNet",
    "IFWMNeck",
    "JointLoss",
    "LabelSmoothingCrossEntropyLoss",
    "RefinementHead",
]
