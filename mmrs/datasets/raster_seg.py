"""Training and evaluation straight from large rasters: windows, read as they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from numpy.typing import NDArray

from mmrs.datasets.label_options import check_label_options, check_options_fit
from mmrs.datasets.raster_areas import areas_in_pixels, covered
from mmrs.datasets.raster_counts import counted_classes
from mmrs.datasets.raster_facts import (
    check_kind,
    describe,
    moved,
    tell_undeclared,
    warn_of_strips,
)
from mmrs.datasets.raster_files import Patterns, find_files, pair_files
from mmrs.datasets.raster_labels import RasterLabels
from mmrs.datasets.raster_options import check_raster_options
from mmrs.datasets.raster_scaling import default_cache_dir, make_scaling
from mmrs.datasets.window_options import check_sampler, make_windows
from mmrs.errors import ConfigError
from mmrs.geo.class_weights import WeightMethod, class_weights
from mmrs.geo.frequency_index import FrequencyIndex
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window
from mmrs.registry import DATASETS


@DATASETS.register_module()
class RasterSegDataset(BaseSegDataset):
    r"""Windows of large images and of their labels, without tiling anything first.

    A sample is a window: ``img`` (height, width, bands), ``gt_seg_map`` (height, width) uint8, and
    ``img_path``, ``seg_map_path``, ``window`` (row, column, height, width), ``transform`` (of the
    window, six numbers), ``crs``, ``band_names``, ``gsd_m``, ``raster_shape``. The pipeline holds
    no loading steps: it begins with augmentation and ends with ``PackSegInputs``.

    Pixels without data (nodata in every band, a mask, transparency, a value that is not finite,
    what lies outside the raster or the area) get label ``ignore_index``, and image 0 after the
    scaling. Images of 8 bits stay so unless they are scaled; others become float32.

    Args:
        images: Paths, folders or globs of the images, relative to ``data_root``.
        labels: The same for the labels: rasters of class ids (or colours), or polygons
            (GeoPackage, GeoJSON, Shapefile). None: images only. One file of polygons serves all
            images; else image and label have equal stems.
        stem_pattern: Regular expression whose first group, found in both stems, pairs them, such
            as ``'(top_potsdam_\d+_\d+)'``.
        bands: Which, in which order, counted from 1; all that are data by default.
        scaling: ``dict(type='minmax' | 'percentile' | 'meanstd')`` with ``images`` (the training
            images, in the validation's config as well) or ``stats`` (a file of
            tools/dataset_stats.py), or the numbers: ``min`` and ``max``, ``mean`` and ``std``.
            ``percentile`` takes ``low=2`` and ``high=98``. None leaves the values.
        window_sampler: ``dict(type='grid', size=..., stride=size, count_once=False)`` is every
            window, edges flush; ``count_once`` ignores what an earlier window counts.
            ``dict(type='random', size=..., length=..., seed=None)`` draws new windows each time,
            by default as many as cover all pixels once; with a seed the same in every epoch.
            ``dict(type='balanced', ...)`` likewise, but each class is equally likely to choose.
        area: What counts: a file of polygons, or (left, bottom, right, top) in coordinates of
            the images (in pixels where they have none). None: everything.
        label_map: Id in the label file -> class id; what is not named stays.
        label_colors: RGB of each class, for labels that are colour pictures; all colours must
            be named here or in ``label_ignore_colors``.
        label_ignore_colors: RGB of what does not count.
        align_labels: Bring label rasters on another grid or CRS to the image's, nearest
            neighbour. Polygons are transformed anyway.
        attribute: Column of the polygons that holds the class; None: all are class 1.
        class_of: Its values -> class ids; None where it holds ids.
        background: Class id of pixels in no polygon; 255 where they are not labelled.
        layer: Of a GeoPackage.
        all_touched: Polygons take every pixel that they touch, else those whose centre is inside.
        max_open_files: That a worker keeps open.
        unpack: Unpack the images into ``cache_dir`` once, and read windows from there: much faster
            than any compressed file, and as large as the pixels.
        cache_dir: Where statistics and indices are kept, ``~/.cache/mmrs/rasters`` by default.
        pipeline: Steps after the loading.
        **kwargs: `mmseg.datasets.BaseSegDataset`: metainfo (with classes), data_root,
            reduce_zero_label, ignore_index, indices (of the images), test_mode, ...

    Raises:
        ConfigError: An option is unknown, out of range, or missing.
        DataError: Files are missing, unpaired, damaged, or do not fit each other.
        LabelError: A label is no class, with its place in the file.
    """

    def __init__(
        self,
        *,
        images: Patterns,
        window_sampler: Mapping[str, Any],
        labels: Patterns | None = None,
        stem_pattern: str | None = None,
        bands: Sequence[int] | None = None,
        scaling: Mapping[str, Any] | None = None,
        area: str | Sequence[float] | None = None,
        label_map: Mapping[int, int] | None = None,
        label_colors: Sequence[Sequence[int]] | None = None,
        label_ignore_colors: Sequence[Sequence[int]] = (),
        align_labels: bool = False,
        attribute: str | None = None,
        class_of: Mapping[Any, int] | None = None,
        background: int | None = None,
        layer: str | None = None,
        all_touched: bool = False,
        max_open_files: int = 16,
        unpack: bool = False,
        cache_dir: str | None = None,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        if not ((kwargs.get("metainfo") or {}).get("classes")):
            raise ConfigError(
                "no class names",
                where="RasterSegDataset.metainfo",
                fix="set metainfo=dict(classes=('background', 'building'))",
            )
        check_raster_options(
            {
                "window_sampler": window_sampler,
                "scaling": scaling,
                "label_map": label_map,
                "class_of": class_of,
                "bands": bands,
                "area": area,
                "max_open_files": max_open_files,
            },
            pipeline=pipeline,
            further=kwargs,
        )
        self.images = images
        self.labels = labels
        self.stem_pattern = stem_pattern
        self.scaling_options = scaling
        self.area = area
        self.sampler_options = check_sampler(
            dict(window_sampler), "RasterSegDataset.window_sampler"
        )
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        self.reader = WindowReader(
            bands=bands, max_open=max_open_files, cache_dir=self.cache_dir if unpack else None
        )
        self.label_options = {
            "label_map": label_map,
            "label_colors": label_colors,
            "label_ignore_colors": label_ignore_colors,
            "align_labels": align_labels,
            "attribute": attribute,
            "class_of": class_of,
            "background": background,
            "layer": layer,
            "all_touched": all_touched,
        }
        self._told: set[str] = set()
        # images and labels say where the files are
        super().__init__(**{**kwargs, "pipeline": list(pipeline), "data_prefix": {}})
        if self.sampler_options.get("count_once"):
            self._metainfo["count_once"] = True  # for the protocol that metrics print

    # what is read when the data set is made -----------------------------------------------------

    def full_init(self) -> None:
        """Look at every file once, and plan the windows."""
        if self._fully_initialized:
            return
        super().full_init()
        try:
            self._plan()
        except BaseException:
            self._fully_initialized = False
            raise

    def get_subset_(self, indices: Sequence[int] | int) -> None:
        """Keep some of the images, and plan the windows anew."""
        super().get_subset_(indices)
        self._plan()

    def get_subset(self, indices: Sequence[int] | int) -> RasterSegDataset:
        """A data set of some of the images."""
        subset = super().get_subset(indices)
        subset._plan()
        return subset

    def load_data_list(self) -> list[dict]:
        """The rasters, one after the other; windows are planned on them."""
        options = {
            **self.label_options,
            "ignore_index": self.ignore_index,
            "reduce_zero_label": self.reduce_zero_label,
        }
        num_classes = len(self.metainfo["classes"])
        check_label_options(options, num_classes=num_classes)
        self.label_reader = RasterLabels(self.reader, num_classes=num_classes, **options)
        images = find_files(self.images, self.data_root, "RasterSegDataset.images")
        labels: Sequence[Path | None] = [None] * len(images)
        if self.labels is not None:
            found = find_files(self.labels, self.data_root, "RasterSegDataset.labels")
            check_options_fit(options, found)
            labels = pair_files(
                images, found, stem_pattern=self.stem_pattern, key="RasterSegDataset"
            )
        scenes = []
        for image, label in zip(images, labels, strict=True):
            raster = self.reader.raster(image)
            if not scenes:
                self.bands, self.dtype = raster.bands, raster.dtype
            check_kind(
                raster,
                bands=self.bands,
                dtype=self.dtype,
                first=images[0],
                scaled=self.scaling_options is not None,
            )
            if label is not None:
                self.label_reader.check(label, raster)
            scenes.append(describe(raster, label))
        if self.labels is not None:
            self.label_reader.check_met(found)
        if self.reader.cache_dir is None:
            warn_of_strips(self.reader, images)
        else:
            print_log(f"{len(images)} images are unpacked, once: {self.cache_dir}", "current")
            for image in images:
                self.reader.cached(image)
        return scenes

    def _plan(self) -> None:
        """Make the scaling and the windows of the images that there are."""
        try:
            self._make_scaling()
            self._make_windows()
        finally:
            # workers open their own
            self.reader.close()

    def _make_scaling(self) -> None:
        self.scaling = None
        if self.scaling_options is not None:
            self.scaling = make_scaling(
                self.scaling_options,
                bands=self.bands,
                dtype=self.dtype,
                data_root=self.data_root,
                cache_dir=self.cache_dir,
                where="RasterSegDataset.scaling",
            )

    def _make_windows(self) -> None:
        self.num_rasters = super().__len__()
        infos = self.raster_infos()
        self._shapes = [info["raster_shape"] for info in infos]
        self.areas = (
            None
            if self.area is None
            else areas_in_pixels(self.area, self.data_root, self.reader, infos)
        )
        if self.sampler_options["type"] == "balanced":
            self._need_labels("window_sampler.type='balanced'")
        self.windows: Any = make_windows(
            self.sampler_options, self._shapes, self.areas, self.frequency_index
        )

    # samples ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self._fully_initialized:
            self.full_init()
        return len(self.windows)

    def get_data_info(self, idx: int) -> dict:
        """What is known of a sample before it is read; for a random sampler each time anew."""
        if not self._fully_initialized:
            self.full_init()
        index = range(len(self))[idx]
        scene, window = self.windows[index]
        info: dict = super().get_data_info(scene)
        info.update(window=tuple(window), sample_idx=index, raster_index=scene)
        if self.sampler_options.get("count_once"):
            info["own_part"] = tuple((s.start, s.stop) for s in self.windows.own_part(index))
        return info

    def prepare_data(self, idx: int) -> Any:
        """A sample: read, then through the pipeline."""
        return self.pipeline(self.load_sample(idx))

    def load_sample(self, idx: int) -> dict:
        """A sample as the pipeline gets it.

        Raises:
            DataError: A file is damaged.
            LabelError: A label is no class.
        """
        info = self.get_data_info(idx)
        window = Window(*info["window"])
        pixels, valid, undeclared = self.reader.read(info["img_path"], window)
        whole = bool(valid.all())
        if undeclared and info["img_path"] not in self._told:
            self._told.add(info["img_path"])
            tell_undeclared(info["img_path"], undeclared, window, self.ignore_index)
        if self.scaling is not None:
            pixels = self.scaling(pixels)
            if not whole:
                pixels[~valid] = 0
        elif pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32, copy=False)
        info["img"] = pixels
        info["img_shape"] = info["ori_shape"] = pixels.shape[:2]
        info["transform"] = moved(info["transform"], window)
        if "seg_map_path" in info:
            _, labels = self.read_labels(info)
            if not whole:
                labels[~valid] = self.ignore_index
            info["gt_seg_map"] = labels
            info["seg_fields"] = ["gt_seg_map"]
        return info

    def raster_infos(self) -> list[dict]:
        """What is known of each raster, in the order of the data set."""
        infos = [super(RasterSegDataset, self).get_data_info(i) for i in range(self.num_rasters)]
        return [{**info, "raster_index": index} for index, info in enumerate(infos)]

    def read_labels(self, info: dict) -> tuple[NDArray[Any] | None, NDArray[np.uint8]]:
        """Labels of a window: what the file holds, None for colours, and the ids of classes.

        Args:
            info: Of a raster (`raster_infos`), with ``window`` and, where not all of that counts,
                ``own_part``: the rows and columns that do.
        """
        window = Window(*info["window"])
        raw, labels = self.label_reader.read(
            Path(info["seg_map_path"]), Path(info["img_path"]), window
        )
        if self.areas is not None:
            labels[~covered(self.areas[info["raster_index"]], window)] = self.ignore_index
        if "own_part" in info:
            rows, cols = (slice(*part) for part in info["own_part"])
            own = np.zeros(labels.shape, dtype=bool)
            own[rows, cols] = True
            labels[~own] = self.ignore_index
        return raw, labels

    # classes ------------------------------------------------------------------------------------

    def frequency_index(self) -> FrequencyIndex:
        """Pixels of each class in all windows of the sampler's size; counted once, then kept.

        Raises:
            ConfigError: There are no labels.
        """
        self._need_labels("frequency_index()")
        return counted_classes(self)

    def class_weights(
        self, method: WeightMethod = "inverse", *, beta: float = 0.999999
    ) -> list[float]:
        """Weights of the classes for a loss, mean 1; 0 for a class that does not occur.

        Args:
            method: As `mmrs.geo.class_weights.class_weights`, as is ``beta``.
            beta: For ``effective``.
        """
        index = self.frequency_index()
        weights = class_weights(index.totals, method, in_reach=index.in_reach, beta=beta)
        return [float(weight) for weight in weights]

    def _need_labels(self, what: str) -> None:
        if self.labels is None:
            raise ConfigError(
                f"{what} needs labels",
                where="RasterSegDataset.labels",
                fix="name the label files",
            )
