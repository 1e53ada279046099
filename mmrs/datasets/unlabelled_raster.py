"""Images for pre-training straight from large rasters and pictures, without labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmrs.datasets.cell_windows import CellWindows
from mmrs.datasets.raster_areas import covered
from mmrs.datasets.raster_facts import moved, tell_undeclared
from mmrs.datasets.raster_files import Patterns
from mmrs.datasets.raster_seg import RasterSegDataset
from mmrs.datasets.visits import VisitedMixin
from mmrs.errors import ConfigError, DataError
from mmrs.geo.windows import Window
from mmrs.registry import DATASETS

_TRIES = 10


@DATASETS.register_module()
class UnlabelledRasterDataset(VisitedMixin, RasterSegDataset):
    """Random windows of large images, with the same reading, scaling and channels as for training.

    A sample is a window as in `mmrs.RasterSegDataset`, without labels, and with ``image_id``: the
    cell of a grid around which it was drawn (`mmrs.datasets.cell_windows`). The data set is as
    long as there are cells. Windows of one cell are views of one image; those of neighbours may
    overlap by up to half, and still count as different images.

    With ``near_px`` a sample has ``near_img`` as well, another window at most so far away, from
    which `mmrs.TwoViews` makes the second view. What lies close by on the ground is often of one
    kind, so the network learns to see past more than augmentation changes; where land use
    changes within that distance it learns to see past that as well. Not part of MoCo v2 or of
    Hi-ResNet.

    Args:
        images: Paths, folders or globs, relative to ``data_root``.
        size: Of a window, pixels: a number, or (height, width).
        min_valid_ratio: Windows with less data are drawn again, at most ten times around their
            cell, then around another cell at random. Rasters that fill less of a window are left
            out, which the log counts.
        near_px: How far the window of the second view may lie from that of the first, in rows
            and in columns; 0: both views are of one window.
        seed: With `mmrs.VisitSampler`: windows and augmentation depend on it, on the sample and
            on the visit alone. None: on the worker's generators.
        area: As in `mmrs.RasterSegDataset`; pixels outside it are as those without data, and
            cells outside it are left out.
        bands: As in `mmrs.RasterSegDataset`.
        scaling: Likewise.
        max_open_files: Likewise.
        unpack: Likewise.
        cache_dir: Likewise.
        pipeline: Steps after the loading; `mmrs.TwoViews` first.
        **kwargs: As in `mmrs.RasterSegDataset`: data_root, indices, ...

    Raises:
        ConfigError: An option is out of range.
        DataError: Files are missing, damaged, do not fit each other, or hold too little data.
    """

    METAINFO: dict = dict(classes=("unlabelled",), palette=[[0, 0, 0]])

    def __init__(
        self,
        *,
        images: Patterns,
        size: int | tuple[int, int],
        min_valid_ratio: float = 0.5,
        near_px: int = 0,
        seed: int | None = None,
        area: str | Sequence[float] | None = None,
        bands: Sequence[int] | None = None,
        scaling: Mapping[str, Any] | None = None,
        max_open_files: int = 16,
        unpack: bool = False,
        cache_dir: str | None = None,
        pipeline: Sequence = (),
        **kwargs: Any,
    ) -> None:
        where = "UnlabelledRasterDataset"
        if not 0 <= min_valid_ratio <= 1:
            raise ConfigError(
                f"must be 0 to 1, got {min_valid_ratio}",
                where=f"{where}.min_valid_ratio",
                fix="mend it",
            )
        for key, value in (("near_px", near_px), ("seed", seed)):
            if value is not None and (not isinstance(value, int) or value < 0):
                raise ConfigError(
                    f"must be a whole number >= 0, got {value!r}",
                    where=f"{where}.{key}",
                    fix="mend it",
                )
        self.min_valid_ratio = min_valid_ratio
        self.near_px = near_px
        self.seed = seed
        kwargs.setdefault("metainfo", self.METAINFO)
        super().__init__(
            images=images,
            window_sampler={"type": "grid", "size": size},
            area=area,
            bands=bands,
            scaling=scaling,
            max_open_files=max_open_files,
            unpack=unpack,
            cache_dir=cache_dir,
            pipeline=pipeline,
            **kwargs,
        )

    def _make_windows(self) -> None:
        super()._make_windows()
        size = self.sampler_options["size"]
        self.windows = CellWindows(
            self._shapes, size, areas=self.areas, min_ratio=self.min_valid_ratio
        )
        small = self.windows.too_small
        if not small:
            return
        height, width = self._shapes[small[0]]
        path = self.raster_infos()[small[0]]["img_path"]
        what = (
            f"{height} x {width} px fill less than {self.min_valid_ratio:.0%} of a window of "
            f"{size[0]} x {size[1]}"
        )
        if not len(self.windows):
            raise DataError(what, where=path, fix="choose a smaller size, or min_valid_ratio")
        more = f" (and {len(small) - 1} more)" if small[1:] else ""
        print_log(f"{path}{more}: {what}; left out", "current", logging.WARNING)

    def get_data_info(self, idx: int) -> dict:
        """What is known of a sample; its window is its cell, unmoved."""
        if not self._fully_initialized:
            self.full_init()
        info = super().get_data_info(idx % len(self))
        info["image_id"] = info["sample_idx"]
        return info

    def load_sample(self, idx: int) -> dict:
        """A sample as the pipeline gets it.

        Raises:
            DataError: A file is damaged, or no window with enough data was found.
        """
        rng = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32).tolist())
        info = self.get_data_info(idx)
        for attempt in range(10 * _TRIES):
            if attempt and attempt % _TRIES == 0:
                info = self.get_data_info(int(rng.integers(len(self))))
            scene, window = self.windows.draw(info["sample_idx"], rng)
            image, valid_ratio = self._read(info, window)
            if valid_ratio >= self.min_valid_ratio:
                break
        else:
            raise DataError(
                f"of {10 * _TRIES} windows none has {self.min_valid_ratio:.0%} of its pixels valid",
                where=info["img_path"],
                fix="leave out images without data, or lower min_valid_ratio",
            )
        info.update(img=image, window=tuple(window), transform=moved(info["transform"], window))
        if self.near_px:
            info["near_img"], info["near_window"] = self._near(info, scene, window, rng)
        info["img_shape"] = info["ori_shape"] = image.shape[:2]
        return info

    def _read(self, info: dict, window: Window) -> tuple[NDArray, float]:
        """Pixels as a network takes them, 0 without data, and the ratio of those with data."""
        pixels, valid, undeclared = self.reader.read(info["img_path"], window)
        if undeclared and info["img_path"] not in self._told:
            self._told.add(info["img_path"])
            tell_undeclared(info["img_path"], undeclared, window, self.ignore_index)
        if self.areas is not None:
            valid = valid & covered(self.areas[info["raster_index"]], window)
            pixels = np.where(valid[..., None], pixels, 0)
        if self.scaling is not None:
            pixels = self.scaling(pixels)
            pixels[~valid] = 0
        elif pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32, copy=False)
        return pixels, float(valid.mean())

    def _near(
        self, info: dict, scene: int, window: Window, rng: np.random.Generator
    ) -> tuple[NDArray, tuple[int, ...]]:
        """Pixels and place of a neighbouring window; the window itself where none has data."""
        for _ in range(_TRIES):
            near = self.windows.near(scene, window, self.near_px, rng)
            image, valid_ratio = self._read(info, near)
            if valid_ratio >= self.min_valid_ratio:
                return image, tuple(near)
        return info["img"].copy(), tuple(window)
