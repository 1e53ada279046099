"""Transforms of samples."""

from mmrs.datasets.transforms.check_sample import CheckSample
from mmrs.datasets.transforms.map_labels import MapColors, MapLabels

__all__ = ["CheckSample", "MapColors", "MapLabels"]
