"""Registered necks."""

from mmrs.models.necks.ifwm_neck import IFWMNeck

__all__ = ["IFWMNeck"]
