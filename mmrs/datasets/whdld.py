"""WHDLD, divided by a rule over file names."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import Literal

from mmseg.datasets import BaseSegDataset

from mmrs.errors import ConfigError, DataError
from mmrs.registry import DATASETS


@DATASETS.register_module()
class WHDLDDataset(BaseSegDataset):
    """WHDLD: 4940 RGB images of 256 x 256 px of Wuhan, six classes.

    Label files: 1 building, 2 road, 3 pavement, 4 vegetation, 5 bare soil, 6 water; a 0 is
    ignored. They are PNGs with a palette, which ``LoadAnnotations`` reads as ids.

    That order is what most public code takes; some takes the ids alphabetically, and the owners
    publish no table that we know of. On the colours (``METAINFO['palette']``) all agree. To read
    them, from files with a palette or with colours: ``reduce_zero_label=False`` here, and in the
    pipeline ``dict(type='LoadAnnotations', imdecode_backend='cv2')``, then
    ``dict(type='mmrs.MapColors', colors=...)``, to which another colour is an error.

    No division is distributed. Here a file is for validation where the first 64 bits of
    SHA-256(``"{seed}/{name}"``), name without folder and ending, as a fraction of 2^64, are below
    ``val_ratio``; so no order of a directory matters, and no file added or missing moves another.

    Layout: ``Images/wh0001.jpg`` and ``ImagesPNG/wh0001.png``; ``data_prefix`` names the folders.

    Args:
        split: ``train``, ``val``, or ``all``.
        val_ratio: Share of the files for validation, 0 to 1: 951 of 4940 at 0.2 and seed 0.
        split_seed: Another seed, another division.
        img_suffix: Ending of image names.
        seg_map_suffix: Ending of label names.
        reduce_zero_label: The label files' 0 is no class.
        **kwargs: `mmseg.datasets.BaseSegDataset`: data_root, data_prefix, pipeline, ...

    Raises:
        ConfigError: ``split`` or ``val_ratio`` is out of range, or a list is given as well.
        DataError: There is no folder, or no image of the split in it.

    Source: Shao et al. (2018), https://doi.org/10.3390/rs10060964, and (2020), IEEE JSTARS 13,
    318-328; https://sites.google.com/view/zhouwx/dataset
    """

    METAINFO = {
        "classes": ("building", "road", "pavement", "vegetation", "bare soil", "water"),
        "palette": [
            [255, 0, 0],
            [255, 255, 0],
            [192, 192, 0],
            [0, 255, 0],
            [128, 128, 128],
            [0, 0, 255],
        ],
    }

    def __init__(
        self,
        *,
        split: Literal["train", "val", "all"],
        val_ratio: float = 0.2,
        split_seed: int = 0,
        img_suffix: str = ".jpg",
        seg_map_suffix: str = ".png",
        reduce_zero_label: bool = True,
        **kwargs,
    ) -> None:
        if split not in ("train", "val", "all"):
            raise ConfigError(
                f"split {split!r} is unknown",
                where=f"{type(self).__name__}.split",
                fix="choose from train, val, all",
            )
        if not 0 <= val_ratio <= 1:
            raise ConfigError(
                f"val_ratio must be in 0 .. 1, got {val_ratio}",
                where=f"{type(self).__name__}.val_ratio",
                fix="give the share of the files that validate, such as 0.2",
            )
        if kwargs.get("ann_file") and split != "all":
            raise ConfigError(
                f"the list {kwargs['ann_file']!r} and split={split!r} would both select images",
                where=f"{type(self).__name__}.ann_file",
                fix="set split='all' with a list of your own",
            )
        self.split = split
        self.val_ratio = val_ratio
        self.split_seed = split_seed
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=reduce_zero_label,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """The images of the split, sorted by path."""
        folder = self.data_prefix.get("img_path") or ""
        try:
            samples = super().load_data_list()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                "no such folder",
                where=folder or "data_prefix.img_path",
                fix="set data_root and data_prefix",
            ) from error
        chosen = [sample for sample in samples if self._belongs(sample["img_path"])]
        if not chosen:
            raise DataError(
                f"none of {len(samples)} *{self.img_suffix} files belongs to split {self.split!r}",
                where=folder or "data_prefix.img_path",
                fix="check data_root, data_prefix, img_suffix and val_ratio",
            )
        return chosen

    def _belongs(self, path: str) -> bool:
        if self.split == "all":
            return True
        validates = name_fraction(PurePath(path).stem, self.split_seed) < self.val_ratio
        return validates == (self.split == "val")


def name_fraction(name: str, seed: int) -> float:
    """A number in [0, 1) that a name and a seed decide, on every machine alike."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
