"""Registered data sets.

LoveDA has none of its own: MMSegmentation's ``LoveDADataset`` is right.
"""

from mmrs.datasets.crop_and_stitch_dataset import CropAndStitchDataset
from mmrs.datasets.million_aid import MillionAIDDataset
from mmrs.datasets.paddy import PaddyDataset
from mmrs.datasets.potsdam import PotsdamDataset
from mmrs.datasets.raster_seg import RasterSegDataset
from mmrs.datasets.scene_folders import SceneFoldersDataset
from mmrs.datasets.source_image_split import SourceImageSplitDataset
from mmrs.datasets.unlabelled_raster import UnlabelledRasterDataset
from mmrs.datasets.vaihingen import VaihingenDataset
from mmrs.datasets.visits import VisitSampler
from mmrs.datasets.whdld import WHDLDDataset
from mmrs.datasets.whu_building import WHUBuildingDataset

__all__ = [
    "CropAndStitchDataset",
    "MillionAIDDataset",
    "PaddyDataset",
    "PotsdamDataset",
    "RasterSegDataset",
    "SceneFoldersDataset",
    "SourceImageSplitDataset",
    "UnlabelledRasterDataset",
    "VaihingenDataset",
    "VisitSampler",
    "WHDLDDataset",
    "WHUBuildingDataset",
]
