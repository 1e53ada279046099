"""ISPRS Potsdam with the split of the literature."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import PurePath

from mmengine.logging import print_log
from mmseg.datasets import PotsdamDataset as MMSegPotsdamDataset

from mmrs.datasets.source_image_split import SourceImageSplitDataset
from mmrs.registry import DATASETS

_NAME = re.compile(r"(?:top_potsdam_)?0*(\d+)_0*(\d+)(?=[_.])")
_OVERLAP = "dilated_spp_overlap_"
# 38 images by the rank of the SHA-256 of "potsdam <id>": the first 23, the next 8, the last 7
_BY_IMAGE = {
    "dilated_spp_train": (
        *("2_10", "2_11", "2_12", "2_13", "2_14", "3_11", "3_12", "4_11"),
        *("4_13", "4_14", "4_15", "5_10", "5_12", "6_9", "6_10", "6_11"),
        *("6_12", "6_13", "6_14", "6_15", "7_9", "7_10", "7_11"),
    ),
    "dilated_spp_val": ("3_10", "4_10", "5_11", "5_14", "6_8", "7_7", "7_12", "7_13"),
    "dilated_spp_test": ("3_13", "3_14", "4_12", "5_13", "5_15", "6_7", "7_8"),
}
_ALL = tuple(image for images in _BY_IMAGE.values() for image in images)


@DATASETS.register_module()
class PotsdamDataset(SourceImageSplitDataset):
    """ISPRS Potsdam: 38 images of 6000 x 6000 px at 5 cm, cut into tiles.

    The split of the literature: 23 images train and 14 validate. MMSegmentation's preparation
    puts a 24th, 7_10, into the training folder; it is left out because its labels are wrong.

    The dilated-SPP paper's split is 6 : 2 : 2 over all 38 images. ``dilated_spp_train``, ``_val``
    and ``_test`` divide the **images**, 23 / 8 / 7, by the rank of a hash of their ids, which
    leaves 7_10 in training. ``dilated_spp_overlap_train``, ... divide the **tiles** of all
    images, as the paper did: training and test then share pixels, and a warning says so.

    Label files: 0 boundary or no data (ignored), 1 impervious surface, 2 building, 3 low
    vegetation, 4 tree, 5 car, 6 clutter. Clutter is a class of the model; the papers leave it
    out of their means, which is the metric's ``exclude_from_mean=('clutter',)``.

    Layout: ``img_dir`` and ``ann_dir``, flat or with sub-folders; tiles are named
    ``2_10_0_0_512_512.png`` (image 2_10, then x0, y0, x1, y1), as MMSegmentation's
    ``tools/dataset_converters/potsdam.py`` names them.

    Args:
        split: ``train``, ``val``, ``dilated_spp_train``, ``dilated_spp_val``,
            ``dilated_spp_test``, or the same three as ``dilated_spp_overlap_...``.
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
        **_BY_IMAGE,
        # of all images; which of their tiles, `load_data_list` decides
        **{f"{_OVERLAP}{part}": _ALL for part in ("train", "val", "test")},
    }
    EXCLUDED = {"7_10": "its labels are wrong; only the dilated_spp splits have it"}

    def load_data_list(self) -> list[dict]:
        """The tiles of the split, sorted by path."""
        samples = super().load_data_list()
        if not self.split.startswith(_OVERLAP):
            return samples
        print_log(
            f"Potsdam split {self.split!r}: tiles are divided, not images, as the paper did; "
            "neighbouring tiles share pixels and scenes, so training and test data overlap and "
            "the scores are too high. Without overlap: "
            f"{self.split.replace(_OVERLAP, 'dilated_spp_')!r}",
            logger="current",
            level=logging.WARNING,
        )
        return _part_of_tiles(samples, self.split.removeprefix(_OVERLAP))

    @staticmethod
    def source_image_id(name: str) -> str | None:
        """``2_10`` from ``2_10_0_0_512_512.png`` or ``top_potsdam_2_10_RGB.tif``."""
        match = _NAME.match(name)
        return None if match is None else f"{match[1]}_{match[2]}"


def _part_of_tiles(samples: list[dict], part: str) -> list[dict]:
    """6 : 2 : 2 of the tiles, by the rank of a hash of their names, in the order given."""

    def rank(sample: dict) -> str:
        name = PurePath(sample["img_path"]).stem
        return hashlib.sha256(f"potsdam {name}".encode()).hexdigest()

    first, second = (round(share * len(samples)) for share in (0.6, 0.8))
    bounds = {"train": (0, first), "val": (first, second), "test": (second, len(samples))}
    chosen = {id(sample) for sample in sorted(samples, key=rank)[slice(*bounds[part])]}
    return [sample for sample in samples if id(sample) in chosen]
