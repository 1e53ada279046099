"""Registered decode heads."""

from mmrs.models.heads.coarse_head import CoarseHead
from mmrs.models.heads.refinement_head import RefinementHead

__all__ = ["CoarseHead", "RefinementHead"]
