"""A data set whose split is decided by the image a tile was cut from, never by its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from mmseg.datasets import BaseSegDataset

from mmrs.errors import ConfigError, DataError


class SourceImageSplitDataset(BaseSegDataset):
    """Tiles of large images, selected by the id of the source image in their names.

    The folder is read with its sub-folders, so two layouts work with one setting:
    MMSegmentation's ``img_dir/{train,val}`` (set ``img_path='img_dir'``), and one flat folder.
    A tile that lies in the wrong sub-folder still goes to the split of its image.

    A subclass gives ``SPLITS`` (split -> ids), ``EXCLUDED`` (id -> why no split uses it) and
    `source_image_id`.

    Args:
        split: A key of ``SPLITS``.
        img_suffix: Ending of image names.
        seg_map_suffix: Ending of label names.
        reduce_zero_label: The label files' 0 is no class.
        **kwargs: `mmseg.datasets.BaseSegDataset`: data_root, data_prefix, pipeline, ...

    Raises:
        ConfigError: ``split`` is unknown, or ``ann_file`` is given as well.
        DataError: A name has no known image id, or no tile belongs to the split.
    """

    SPLITS: Mapping[str, tuple[str, ...]] = {}
    EXCLUDED: Mapping[str, str] = {}

    def __init__(
        self,
        *,
        split: str,
        img_suffix: str = ".png",
        seg_map_suffix: str = ".png",
        reduce_zero_label: bool = True,
        **kwargs,
    ) -> None:
        if split not in self.SPLITS:
            raise ConfigError(
                f"split {split!r} is unknown",
                where=f"{type(self).__name__}.split",
                fix=f"choose from {', '.join(self.SPLITS)}",
            )
        if kwargs.get("ann_file"):
            raise ConfigError(
                f"the list {kwargs['ann_file']!r} and split={split!r} would both select tiles",
                where=f"{type(self).__name__}.ann_file",
                fix="leave ann_file out, or use MMSegmentation's class of the same name",
            )
        self.split = split
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=reduce_zero_label,
            **kwargs,
        )

    @staticmethod
    def source_image_id(name: str) -> str | None:
        """Id of the source image in a tile's file name; None where there is none."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """The tiles of the split, sorted by path."""
        folder = self.data_prefix.get("img_path")
        if folder is None or not PurePath(folder).parts:
            raise ConfigError(
                "no image folder is set",
                where=f"{type(self).__name__}.data_prefix",
                fix="set data_root, and data_prefix.img_path='img_dir'",
            )
        try:
            samples = super().load_data_list()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                "no such folder", where=folder, fix="set data_root, or prepare the data set"
            ) from error
        wanted = set(self.SPLITS[self.split])
        chosen = [sample for sample in samples if self._known_id(sample["img_path"]) in wanted]
        if not chosen:
            raise DataError(
                f"none of {len(samples)} *{self.img_suffix} files belongs to split "
                f"{self.split!r} (images {', '.join(self.SPLITS[self.split])})",
                where=folder,
                fix="check data_root, data_prefix and img_suffix",
            )
        return chosen

    def _known_id(self, path: str) -> str:
        source = self.source_image_id(PurePath(path).name)
        known = {image for images in self.SPLITS.values() for image in images}
        if source is None or source not in known | set(self.EXCLUDED):
            cause = "its name holds no image id" if source is None else f"no split has {source!r}"
            raise DataError(
                cause,
                where=path,
                fix=f"name tiles after their image, such as {self.SPLITS[self.split][0]}_0_0"
                f"{self.img_suffix}, or move the file away",
            )
        return source
