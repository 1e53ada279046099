"""Paddy fields in SPOT-6 patches, divided before they are rotated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Literal

from mmseg.datasets import BaseSegDataset

from mmrs.errors import ConfigError, DataError
from mmrs.registry import DATASETS

_QUARTER_TURNS = (0, 90, 180, 270)


@DATASETS.register_module()
class PaddyDataset(BaseSegDataset):
    """GeoTIFF patches of 256 x 256 px, each pixel paddy or not.

    Label files: 0 non-paddy, 1 paddy, 255 ignored.

    The patches are divided first: they are ordered by the SHA-256 of ``"{split_seed}/{name}"``
    (name without folder and ending), and the first ``val_ratio`` of them validate. Then training
    patches are listed once for each rotation, so no patch is rotated into the other part. Of
    the paper's 6,792 patches ``train`` lists 4 x 5,434 = 21,736; ``all`` with four rotations lists
    27,168 (it prints 27,170). ``mmrs.RotateAsListed`` in the pipeline turns them.

    Layout: ``img_dir/*.tif`` and ``ann_dir/*.tif``; ``data_prefix`` names the folders. The images
    have 3 or 4 bands (red, green, blue, near infrared), 8 or 16 bits: `mmrs.LoadRaster`.

    Args:
        split: ``train``, ``val``, or ``all``.
        val_ratio: share of the patches for validation, 0 to 1.
        split_seed: another seed, another division.
        rotations: degrees counterclockwise of the listed samples; for ``train`` all four quarter
            turns by default, otherwise 0 only.
        img_suffix: ending of image names.
        seg_map_suffix: ending of label names.
        **kwargs: `mmseg.datasets.BaseSegDataset`: data_root, data_prefix, pipeline, ann_file, ...

    Raises:
        ConfigError: an option is out of range, or nothing in the pipeline rotates.
        DataError: there is no folder, or no patch of the split in it.

    Source: DeepLabV3 with ResNet-34, 50 and 101 on SPOT-6 imagery of paddy fields; the imagery is
    not public, so file names and layout are ours.
    """

    METAINFO = {
        "classes": ("non-paddy", "paddy"),
        "palette": [[96, 96, 96], [80, 200, 80]],
    }

    def __init__(
        self,
        *,
        split: Literal["train", "val", "all"],
        val_ratio: float = 0.2,
        split_seed: int = 0,
        rotations: Sequence[int] | None = None,
        img_suffix: str = ".tif",
        seg_map_suffix: str = ".tif",
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        if rotations is None:
            rotations = _QUARTER_TURNS if split == "train" else (0,)
        _check_options(split, val_ratio, rotations)
        self.split = split
        self.val_ratio = val_ratio
        self.split_seed = split_seed
        self.rotations = tuple(rotations)
        if any(self.rotations) and pipeline and not any(map(_rotates, pipeline)):
            raise ConfigError(
                f"rotations {self.rotations} are listed, but nothing rotates",
                where="PaddyDataset.pipeline",
                fix="put dict(type='mmrs.RotateAsListed') after LoadAnnotations, or set "
                "rotations=(0,)",
            )
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=False,
            pipeline=list(pipeline),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """The patches of the split, sorted by path, each with its rotations in a row."""
        folder = self.data_prefix.get("img_path") or "data_prefix.img_path"
        try:
            samples = super().load_data_list()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                "no such folder", where=folder, fix="set data_root and data_prefix"
            ) from error
        chosen = self._divide(samples)
        if not chosen:
            raise DataError(
                f"none of {len(samples)} *{self.img_suffix} patches belongs to split "
                f"{self.split!r}",
                where=folder,
                fix="check data_root, data_prefix, img_suffix and val_ratio",
            )
        return [
            {**sample, "rotation_deg": rotation, "seg_fields": []}
            for sample in chosen
            for rotation in self.rotations
        ]

    def _divide(self, samples: list[dict]) -> list[dict]:
        if self.split == "all":
            return samples
        ordered = sorted(samples, key=lambda sample: self._lot(sample["img_path"]))
        num_val = round(self.val_ratio * len(samples))
        validating = {sample["img_path"] for sample in ordered[:num_val]}
        wanted = self.split == "val"
        return [sample for sample in samples if (sample["img_path"] in validating) == wanted]

    def _lot(self, path: str) -> tuple[str, str]:
        name = PurePath(path).stem
        return hashlib.sha256(f"{self.split_seed}/{name}".encode()).hexdigest(), name


def _rotates(step: object) -> bool:
    name = step["type"] if isinstance(step, Mapping) else type(step)
    name = name if isinstance(name, str) else name.__name__
    return name.rpartition(".")[2] == "RotateAsListed"


def _check_options(split: str, val_ratio: float, rotations: Sequence[int]) -> None:
    if split not in ("train", "val", "all"):
        raise ConfigError(
            f"split {split!r} is unknown",
            where="PaddyDataset.split",
            fix="choose from train, val, all",
        )
    if not 0 <= val_ratio <= 1:
        raise ConfigError(
            f"val_ratio must be in 0 .. 1, got {val_ratio}",
            where="PaddyDataset.val_ratio",
            fix="give the share of the patches that validate, such as 0.2",
        )
    if not rotations or any(angle not in _QUARTER_TURNS for angle in rotations):
        raise ConfigError(
            f"rotations must be among {_QUARTER_TURNS}, got {tuple(rotations)}",
            where="PaddyDataset.rotations",
            fix="choose from 0, 90, 180, 270",
        )
    if split == "val" and tuple(rotations) != (0,):
        raise ConfigError(
            f"rotations {tuple(rotations)} would count a validation patch more than once",
            where="PaddyDataset.rotations",
            fix="leave rotations out for split='val'",
        )
