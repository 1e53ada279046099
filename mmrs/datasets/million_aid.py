"""Million-AID: aerial scenes of many sizes, cut into squares for pre-training."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmrs.datasets.pictures import SUFFIXES, picture_size, read_picture
from mmrs.datasets.visits import VisitedMixin
from mmrs.errors import ConfigError, DataError
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window
from mmrs.registry import DATASETS


@DATASETS.register_module()
class MillionAIDDataset(VisitedMixin, BaseDataset):
    """Squares of the images of Million-AID, or of any folder of pictures, without labels.

    Each image is divided into squares side by side from its upper left corner; what is left at
    the right and at the bottom is not used, and images smaller than a square are dropped, as in
    Hi-ResNet. How many is told in the log and kept in ``dropped_images``. A square is an image of
    its own: its number is ``image_id``.

    Samples: ``img`` (size, size, bands), the bands in the order of the file (red, green, blue),
    ``img_path``, ``window`` (row, column, height, width), ``image_id``. The pipeline holds no
    loading steps: it begins with `mmrs.TwoViews`.

    Args:
        data_root: The folder. Its subfolders are searched, unless there is a list; names that
            begin with a dot do not count.
        ann_file: A list as ``tools/prepare_dataset.py million_aid`` writes it (``train.txt``):
            image, left, upper, right, lower, with tabs between. With it no image is opened
            before it is needed. None: look at the header of each.
        img_root: What names in the list are relative to; ``data_root`` by default.
        size: Side of a square, pixels.
        seed: With `mmrs.VisitSampler`: augmentation depends on it, on the sample and on the visit
            alone. None: on the worker's generators.
        max_open_files: That a worker keeps open.
        pipeline: Steps after the loading.
        **kwargs: `mmengine.dataset.BaseDataset`: indices, serialize_data, lazy_init, ...

    Raises:
        ConfigError: An option is out of range.
        DataError: There is no image of that size, or the list cannot be read.

    Source: Million-AID (doi 10.1109/JSTARS.2021.3070368); Hi-ResNet (arXiv 2305.12691), IV.
    """

    METAINFO: dict = dict(classes=("unlabelled",), palette=[[0, 0, 0]])
    unlabelled = True
    takes_any_picture = True  # one band is given three times, a palette as its colours

    def __init__(
        self,
        *,
        data_root: str,
        ann_file: str | None = None,
        img_root: str | None = None,
        size: int = 400,
        seed: int | None = None,
        max_open_files: int = 16,
        pipeline: Sequence = (),
        **kwargs: Any,
    ) -> None:
        for key, value, least, fix in (
            ("size", size, 1, "give pixels, such as 400"),
            ("seed", 0 if seed is None else seed, 0, "give one, or None"),
        ):
            if not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"must be a whole number >= {least}, got {value!r}",
                    where=f"MillionAIDDataset.{key}",
                    fix=fix,
                )
        self.size = size
        self.seed = seed
        self.dropped_images = 0
        self.list_file = None if ann_file is None else Path(data_root) / ann_file
        self.img_root = Path(data_root if img_root is None else img_root)
        self.reader = WindowReader(max_open=max_open_files)
        super().__init__(data_root=data_root, data_prefix={}, pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """The squares, image after image."""
        found = list(self._listed() if self.list_file is not None else self._searched())
        if self.dropped_images:
            print_log(
                f"{self.dropped_images} images are smaller than {self.size} x {self.size} px and "
                f"are left out; {len(found)} squares are kept",
                "current",
                logging.WARNING,
            )
        if not found:
            raise DataError(
                f"no image of {self.size} x {self.size} px or more ({self.dropped_images} are "
                "smaller)",
                where=self.list_file or self.img_root,
                fix="check data_root, or choose a smaller size",
            )
        return [
            {"img_path": path, "window": window, "image_id": index}
            for index, (path, window) in enumerate(found)
        ]

    def load_sample(self, idx: int) -> dict:
        """A sample as the pipeline gets it.

        Raises:
            DataError: The file is damaged, or smaller than the list says.
        """
        info = self.get_data_info(idx)
        window, raster = Window(*info["window"]), self.reader.raster(info["img_path"])
        if window.row + window.height > raster.height or window.col + window.width > raster.width:
            raise DataError(
                f"has {raster.height} x {raster.width} px, and no square at row {window.row}, "
                f"column {window.col} of {self.size}",
                where=info["img_path"],
                fix=f"fetch it again, or prepare {self.list_file or 'the data'} again",
            )
        pixels = read_picture(self.reader, info["img_path"], window)
        info.update(img=pixels, img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2])
        return info

    def _searched(self) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
        if not self.img_root.is_dir():
            raise DataError(
                "there is no such folder",
                where=self.img_root,
                fix="set data_root; data/README.md says how to get the images",
            )
        # unlike Path.rglob it goes into linked folders, and passes over hidden names
        names = glob.iglob("**/*", root_dir=self.img_root, recursive=True)
        for path in sorted(self.img_root / name for name in names):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            height, width = picture_size(path)
            if min(width, height) < self.size:
                self.dropped_images += 1
                continue
            for row in _side_by_side(height, self.size):
                for col in _side_by_side(width, self.size):
                    yield str(path), (row, col, self.size, self.size)

    def _listed(self) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
        if not self.list_file.is_file():
            raise DataError(
                "there is no such list",
                where=self.list_file,
                fix="tools/prepare_dataset.py million_aid writes it; or leave ann_file out",
            )
        try:
            lines = self.list_file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"cannot be read as text ({error})", where=self.list_file, fix="prepare it again"
            ) from error
        for number, line in enumerate(lines, 1):
            try:
                name, *box = line.split("\t")
                left, upper, right, lower = (int(value) for value in box)
                if right - left != self.size or lower - upper != self.size:
                    raise ValueError(f"not {self.size} x {self.size} px")
                if left < 0 or upper < 0:
                    raise ValueError("it begins outside the image")
            except ValueError as error:
                raise DataError(
                    f"line {number} is no square ({error})",
                    where=self.list_file,
                    fix=f"prepare it again with --tile {self.size}, or set size",
                ) from error
            yield str(self.img_root / name), (upper, left, self.size, self.size)


def _side_by_side(length: int, size: int) -> range:
    return range(0, length - size + 1, size)
