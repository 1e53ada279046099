"""Registered algorithms of self-supervised pre-training."""

from mmrs.models.selfsup.moco_v2 import MoCoV2

__all__ = ["MoCoV2"]
