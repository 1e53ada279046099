"""Transforms of samples."""

from mmrs.datasets.transforms.check_sample import CheckSample
from mmrs.datasets.transforms.crop_and_stitch import CropAndStitch
from mmrs.datasets.transforms.keep_labels import KeepLabels
from mmrs.datasets.transforms.load_annotations import LoadAnnotations
from mmrs.datasets.transforms.load_raster import LoadRaster
from mmrs.datasets.transforms.map_labels import MapColors, MapLabels
from mmrs.datasets.transforms.photometric import PhotometricDistortion
from mmrs.datasets.transforms.random_blur import RandomBlur
from mmrs.datasets.transforms.random_rotate90 import RandomRotate90
from mmrs.datasets.transforms.rotate_as_listed import RotateAsListed
from mmrs.datasets.transforms.two_views import TwoViews

__all__ = [
    "CheckSample",
    "CropAndStitch",
    "KeepLabels",
    "LoadAnnotations",
    "LoadRaster",
    "MapColors",
    "MapLabels",
    "PhotometricDistortion",
    "RandomBlur",
    "RandomRotate90",
    "RotateAsListed",
    "TwoViews",
]
