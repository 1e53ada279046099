"""Registered segmentors."""

from mmrs.models.segmentors.dense_crf_segmentor import CRFCascadeEncoderDecoder, CRFEncoderDecoder

__all__ = ["CRFCascadeEncoderDecoder", "CRFEncoderDecoder"]
