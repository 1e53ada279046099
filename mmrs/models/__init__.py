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
from mmrs.models.necks import MSFM, DilatedSPP, IFWMNeck, MultiScalePool
from mmrs.models.seg_data_preprocessor import SegDataPreProcessor
from mmrs.models.segmentors import CRFCascadeEncoderDecoder, CRFEncoderDecoder
from mmrs.models.selfsup import MoCoV2
from mmrs.models.selfsup_data_preprocessor import SelfSupDataPreProcessor
from mmrs.pretrained import register_safetensors

register_safetensors()

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
    "MoCoV2",
    "MultiScalePool",
    "RMNetEncoder",
    "RefinementHead",
    "SegDataPreProcessor",
    "SelfSupDataPreProcessor",
    "SubPixelHead",
]
