"""Registered models; importing this registers them."""

from mmrs.models.backbones import DilatedResNet, HiResNet, IFWHRNet, RMNetEncoder
from mmrs.models.heads import CoarseHead, RefinementHead, SubPixelHead
from mmrs.models.losses import (
    ClassAgnosticEdgeAwareLoss,
    DiceFocalLoss,
    GeneralizedDiceLoss,
    JointLoss,
    LabelSmoothingCrossEntropyLoss,
)
from mmrs.models.necks import MSFM, DilatedSPP, IFWMNeck
from mmrs.models.seg_data_preprocessor import SegDataPreProcessor
from mmrs.models.segmentors import CRFCascadeEncoderDecoder, CRFEncoderDecoder

__all__ = [
    "MSFM",
    "CRFCascadeEncoderDecoder",
    "CRFEncoderDecoder",
    "ClassAgnosticEdgeAwareLoss",
    "CoarseHead",
    "DiceFocalLoss",
    "DilatedResNet",
    "DilatedSPP",
    "GeneralizedDiceLoss",
    "HiResNet",
    "IFWHRNet",
    "IFWMNeck",
    "JointLoss",
    "LabelSmoothingCrossEntropyLoss",
    "RMNetEncoder",
    "RefinementHead",
    "SegDataPreProcessor",
    "SubPixelHead",
]
