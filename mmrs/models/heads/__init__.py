"""Registered decode heads."""

from mmrs.models.heads.coarse_head import CoarseHead
from mmrs.models.heads.refinement_head import RefinementHead
from mmrs.models.heads.sub_pixel_head import SubPixelHead

__all__ = ["CoarseHead", "RefinementHead", "SubPixelHead"]
