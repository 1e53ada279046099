"""ISPRS Potsdam with the split of the literature."""

from __future__ import annotations

import re

from mmseg.datasets import PotsdamDataset as MMSegPotsdamDataset

from mmrs.datasets.source_image_split import SourceImageSplitDataset
from mmrs.registry import DATASETS

_NAME = re.compile(r"(?:top_potsdam_)?0*(\d+)_0*(\d+)(?=[_.])")


@DATASETS.register_module()
class PotsdamDataset(SourceImageSplitDataset):
    """ISPRS Potsdam: 38 images of 6000 x 6000 px at 5 cm, cut into tiles.

    23 images train and 14 validate. MMSegmentation's preparation puts a 24th, 7_10, into the
    training folder; it is left out here because its labels are wrong.

    Label files: 0 boundary or no data (ignored), 1 impervious surface, 2 building, 3 low
    vegetation, 4 tree, 5 car, 6 clutter. Clutter is a class of the model; the papers leave it
    out of their means, which is the metric's ``exclude_from_mean=('clutter',)``.

    Layout: ``img_dir`` and ``ann_dir``, flat or with sub-folders; tiles are named
    ``2_10_0_0_512_512.png`` (image 2_10, then x0, y0, x1, y1), as MMSegmentation's
    ``tools/dataset_converters/potsdam.py`` names them.

    Args:
        split: ``train`` or ``val``.
        **kwargs: see `SourceImageSplitDataset`.

    Source: https://www.isprs.org/education/benchmarks/UrbanSemLab/2d-sem-label-potsdam.aspx;
        the 24 / 14 list is that of the benchmark's labelled and test images.
    """

    METAINFO = MMSegPotsdamDataset.METAINFO
    SPLITS = {
        "train": (
            *("2_10", "2_11", "2_12", "3_10", "3_11", "3_12", "4_10", "4_11", "4_12"),
            *("5_10", "5_11", "5_12", "6_7", "6_8", "6_9", "6_10", "6_11", "6_12"),
            *("7_7", "7_8", "7_9", "7_11", "7_12"),
        ),
        "val": (
            *("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15"),
            *("5_13", "5_14", "5_15", "6_13", "6_14", "6_15", "7_13"),
        ),
    }
    EXCLUDED = {"7_10": "its labels are wrong"}

    @staticmethod
    def source_image_id(name: str) -> str | None:
        """``2_10`` from ``2_10_0_0_512_512.png`` or ``top_potsdam_2_10_RGB.tif``."""
        match = _NAME.match(name)
        return None if match is None else f"{match[1]}_{match[2]}"
