"""Registered models; importing this registers them."""

from mmrs.models.backbones import HiResNet
from mmrs.models.heads import CoarseHead, RefinementHead
from mmrs.models.losses import (
    ClassAgnosticEdgeAwareLoss,
    GeneralizedDiceLoss,
    JointLoss,
    LabelSmoothingCrossEntropyLoss,
)

__all__ = [
    "ClassAgnosticEdgeAwareLoss",
    "CoarseHead",
    "GeneralizedDiceLoss",
    "HiResNet",
    "JointLoss",
    "LabelSmoothingCrossEntropyLoss",
    "RefinementHead",
]
