"""Registered necks."""

from mmrs.models.necks.dilated_spp import DilatedSPP
from mmrs.models.necks.ifwm_neck import IFWMNeck
from mmrs.models.necks.msfm_neck import MSFM

__all__ = ["MSFM", "DilatedSPP", "IFWMNeck"]
