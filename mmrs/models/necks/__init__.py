"""Registered necks."""

from mmrs.models.necks.dilated_spp import DilatedSPP
from mmrs.models.necks.ifwm_neck import IFWMNeck

__all__ = ["DilatedSPP", "IFWMNeck"]
