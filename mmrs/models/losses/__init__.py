"""Registered losses, each called as MMSeg calls one."""

from mmrs.models.losses.class_agnostic_edge_aware_loss import ClassAgnosticEdgeAwareLoss
from mmrs.models.losses.dice_focal_loss import DiceFocalLoss
from mmrs.models.losses.generalized_dice_loss import GeneralizedDiceLoss
from mmrs.models.losses.joint_loss import JointLoss
from mmrs.models.losses.label_smoothing_cross_entropy_loss import LabelSmoothingCrossEntropyLoss

__all__ = [
    "ClassAgnosticEdgeAwareLoss",
    "DiceFocalLoss",
    "GeneralizedDiceLoss",
    "JointLoss",
    "LabelSmoothingCrossEntropyLoss",
]
