"""Metrics and hooks of a run."""

from mmrs.engine.boundary_metric import BoundaryMetric
from mmrs.engine.channel_contract_hook import ChannelContractHook
from mmrs.engine.curves_hook import CurvesHook
from mmrs.engine.embedding_spread_hook import EmbeddingSpreadHook
from mmrs.engine.isprs_metric import ISPRSMetric
from mmrs.engine.knn_hook import KNNHook
from mmrs.engine.linear_probe_hook import LinearProbeHook
from mmrs.engine.loveda_submission import LoveDASubmission
from mmrs.engine.queue_length_hook import QueueLengthHook
from mmrs.engine.same_buffers_hook import SameBuffersHook
from mmrs.engine.saved_first_hook import SavedFirstHook
from mmrs.engine.seg_metric import SegMetric

__all__ = [
    "BoundaryMetric",
    "ChannelContractHook",
    "CurvesHook",
    "EmbeddingSpreadHook",
    "ISPRSMetric",
    "KNNHook",
    "LinearProbeHook",
    "LoveDASubmission",
    "QueueLengthHook",
    "SameBuffersHook",
    "SavedFirstHook",
    "SegMetric",
]
