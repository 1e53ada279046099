"""Registered necks."""

from mmrs.models.necks.dilated_spp import DilatedSPP
from mmrs.models.necks.ifwm_neck import IFWMNeck
from mmrs.models.necks.msfm_neck import MSFM
from mmrs.models.necks.multi_scale_pool import MultiScalePool

__all__ = ["MSFM", "DilatedSPP", "IFWMNeck", "MultiScalePool"]
