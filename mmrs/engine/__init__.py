"""Metrics and hooks of a run."""

from mmrs.engine.boundary_metric import BoundaryMetric
from mmrs.engine.channel_contract_hook import ChannelContractHook
from mmrs.engine.isprs_metric import ISPRSMetric
from mmrs.engine.loveda_submission import LoveDASubmission
from mmrs.engine.queue_length_hook import QueueLengthHook
from mmrs.engine.same_buffers_hook import SameBuffersHook
from mmrs.engine.seg_metric import SegMetric

__all__ = [
    "BoundaryMetric",
    "ChannelContractHook",
    "ISPRSMetric",
    "LoveDASubmission",
    "QueueLengthHook",
    "SameBuffersHook",
    "SegMetric",
]
