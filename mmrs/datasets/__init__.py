"""Registered data sets.

LoveDA has none of its own: MMSegmentation's ``LoveDADataset`` is right.
"""

from mmrs.datasets.potsdam import PotsdamDataset
from mmrs.datasets.source_image_split import SourceImageSplitDataset
from mmrs.datasets.vaihingen import VaihingenDataset

__all__ = ["PotsdamDataset", "SourceImageSplitDataset", "VaihingenDataset"]
