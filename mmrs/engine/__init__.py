"""Metrics and hooks of a run."""

from mmrs.engine.loveda_submission import LoveDASubmission
from mmrs.engine.seg_metric import SegMetric

__all__ = ["LoveDASubmission", "SegMetric"]
