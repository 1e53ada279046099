"""ISPRS Vaihingen with the benchmark's split."""

from __future__ import annotations

import re

from mmseg.datasets import ISPRSDataset

from mmrs.datasets.source_image_split import SourceImageSplitDataset
from mmrs.registry import DATASETS

_NAME = re.compile(r"(?:top_mosaic_09cm_)?(area\d+)(?=[_.])")


@DATASETS.register_module()
class VaihingenDataset(SourceImageSplitDataset):
    """ISPRS Vaihingen: 33 images of about 2500 x 2000 px at 9 cm (near infrared, red, green).

    Splits by source image: ``train`` and ``val``, 16 and 17 images as the benchmark divides them
    (Hi-ResNet); ``ifwm_train`` and ``ifwm_test``, the 16 of ``train`` divided into 11 and 5 (IFWM).

    Label files: 0 boundary or no data (ignored), 1 impervious surface, 2 building, 3 low
    vegetation, 4 tree, 5 car, 6 clutter. Clutter is a class of the model; the papers leave it
    out of their means, which is the metric's ``exclude_from_mean=('clutter',)``.

    Layout: ``img_dir`` and ``ann_dir``, flat or with sub-folders; tiles are named
    ``area1_0_0_512_512.png`` (image area1, then x0, y0, x1, y1), as MMSegmentation's
    ``tools/dataset_converters/vaihingen.py`` names them.

    Args:
        split: ``train``, ``val``, ``ifwm_train`` or ``ifwm_test``.
        **kwargs: see `SourceImageSplitDataset`.

    Source: https://www.isprs.org/education/benchmarks/UrbanSemLab/2d-sem-label-vaihingen.aspx
    """

    METAINFO = ISPRSDataset.METAINFO
    SPLITS = {
        "train": tuple(
            f"area{n}" for n in (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37)
        ),
        "val": tuple(
            f"area{n}" for n in (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38)
        ),
        "ifwm_train": tuple(f"area{n}" for n in (1, 3, 5, 7, 13, 17, 21, 23, 26, 32, 37)),
        "ifwm_test": tuple(f"area{n}" for n in (11, 15, 28, 30, 34)),
    }

    @staticmethod
    def source_image_id(name: str) -> str | None:
        """``area1`` from ``area1_0_0_512_512.png`` or ``top_mosaic_09cm_area1.tif``."""
        match = _NAME.match(name)
        return None if match is None else match[1]
