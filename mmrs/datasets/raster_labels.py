"""Labels of a window of an image: from a raster or from polygons, as the ids of the classes."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmrs.datasets.label_options import is_vector
from mmrs.datasets.transforms.map_labels import MapColors
from mmrs.errors import ConfigError, DataError, LabelError
from mmrs.geo.polygon_file import read_polygons
from mmrs.geo.raster import Raster
from mmrs.geo.rasterize import NO_POLYGON, Polygons
from mmrs.geo.window_reader import WindowReader, grid_difference
from mmrs.geo.windows import Window
from mmrs.label_check import check_label_shape, find_invalid_label

_OPEN_POLYGONS = 16  # files in memory at a time, where each image has its own
_PLACED = 256  # images at a time whose polygons had to be brought to their CRS: these are few each


class RasterLabels:
    """Reads the labels of windows. The options are `mmrs.RasterSegDataset`'s.

    Args:
        reader: Of the images; it reads the labels as well.
        num_classes: Number of classes.
        ignore_index: The id of what does not count.
        reduce_zero_label: The files' 0 is no class, and their 1 is class 0.
        label_map: Id in the file -> class id.
        label_colors: RGB of each class, for labels that are colour pictures.
        label_ignore_colors: RGB of what does not count.
        align_labels: Bring labels on another grid to the image's.
        attribute: Column of the polygons with the class.
        class_of: Its values -> class ids.
        background: Class id of what lies in no polygon.
        layer: Of a GeoPackage.
        all_touched: Burn every pixel that a polygon touches.

    """

    def __init__(
        self,
        reader: WindowReader,
        *,
        num_classes: int,
        ignore_index: int = 255,
        reduce_zero_label: bool = False,
        label_map: Mapping[int, int] | None = None,
        label_colors: Sequence[Sequence[int]] | None = None,
        label_ignore_colors: Sequence[Sequence[int]] = (),
        align_labels: bool = False,
        attribute: str | None = None,
        class_of: Mapping[Any, int] | None = None,
        background: int | None = None,
        layer: str | None = None,
        all_touched: bool = False,
    ) -> None:
        self.reader = reader
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.reduce_zero_label = reduce_zero_label
        self.label_map = {int(old): int(new) for old, new in (label_map or {}).items()}
        self.align = align_labels
        self.polygon_options = {"attribute": attribute, "id_of": class_of, "layer": layer}
        self.background = background
        self.all_touched = all_touched
        self._colors = None
        if label_colors is not None:
            self._colors = MapColors(
                colors=label_colors, ignore_colors=label_ignore_colors, ignore_index=ignore_index
            )
        self._polygons: OrderedDict[tuple[str, ...], Polygons] = OrderedDict()
        self._placed: OrderedDict[tuple[str, ...], Polygons] = OrderedDict()
        self._any_polygon = self._any_near = self._any_met = False

    def check(self, path: Path, image: Raster) -> None:
        """Raise where labels cannot lie on an image: looked at once, before anything is read.

        Raises:
            DataError: Grids differ, or there is no CRS that polygons need.
            ConfigError: Nothing says what lies in no polygon.
        """
        if is_vector(path):
            if self.background is None:
                raise ConfigError(
                    "nothing says what pixels in no polygon are",
                    where="RasterSegDataset.background",
                    fix="set background=0 where they are that class, or background=255 where "
                    "they are not labelled",
                )
            if image.georeference.crs is None or image.georeference.transform is None:
                raise DataError(
                    "it has no CRS or no grid, so polygons cannot be placed on it",
                    where=image.path,
                    fix="give it one: gdal_edit.py -a_srs EPSG:... -a_ullr left top right bottom",
                )
            self._of_image(path, image)
            polygons = self._polygons[(str(path),)]
            self._any_polygon |= len(polygons.ids) > 0
            self._any_near = self._any_near or polygons.surround(image)
            self._any_met = self._any_met or polygons.meet(image)
            return
        if self.align:
            return
        with Raster(path) as labels:
            differing = grid_difference(labels, image)
        if differing is not None:
            raise DataError(
                f"labels do not lie on the grid of their image {image.path}: {differing}",
                where=path,
                fix="set align_labels=True to bring them there (nearest neighbour), or warp them "
                "yourself",
            )

    def check_met(self, labels: Sequence[Path]) -> None:
        """Say, after all images were checked, where polygons label none of them.

        Args:
            labels: The files.

        Raises:
            DataError: There are polygons, and the images lie beyond all of them.
        """
        if self._any_met or not labels or not all(is_vector(path) for path in labels):
            return
        if self._any_polygon and not self._any_near:
            raise DataError(
                "its polygons meet no image: all pixels would be background",
                where=labels[0],
                fix="check its CRS (GeoJSON counts in degrees unless it says otherwise), and that "
                "it belongs to these images",
            )
        print_log(
            f"{labels[0]}: no polygons on the images: all pixels are background "
            f"({self.background})",
            "current",
            logging.WARNING,
        )

    def read(
        self, path: Path, image_path: Path, window: Window
    ) -> tuple[NDArray[Any] | None, NDArray[np.uint8]]:
        """Labels of a window of an image.

        Returns:
            What the file holds, (h, w); None for colours. And class ids, (h, w) uint8, the
            ignored one where there is no label.

        Raises:
            LabelError: An id or colour that is no class, with its place.
            DataError: The file cannot be read.
        """
        if is_vector(path):
            raw, labels = self._burn(path, image_path, window)
        else:
            raw, labels = self._read_raster(path, image_path, window)
        found = find_invalid_label(
            labels, num_classes=self.num_classes, ignore_index=self.ignore_index
        )
        if found is not None:
            raise self._no_class(path, found, raw, window)
        return raw, labels.astype(np.uint8)

    def _burn(
        self, path: Path, image_path: Path, window: Window
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        image = self.reader.raster(image_path)
        transform = image.georeference.transform or Affine.identity()
        burnt = self._of_image(path, image).burn(window, transform, all_touched=self.all_touched)
        burnt[burnt == NO_POLYGON] = self.background
        rows, cols = image.height - window.row, image.width - window.col
        burnt[rows:] = self.ignore_index
        burnt[:, cols:] = self.ignore_index
        return burnt, burnt

    def _of_image(self, path: Path, image: Raster) -> Polygons:
        """The polygons of an image, in its CRS."""
        stored = _kept(
            self._polygons,
            (str(path),),
            lambda: read_polygons(path, **self.polygon_options),
            most=_OPEN_POLYGONS,
        )
        if stored.crs == image.georeference.crs:
            return stored
        key = (str(path), str(image.path))
        return _kept(self._placed, key, lambda: stored.near(image), most=_PLACED)

    def _read_raster(
        self, path: Path, image_path: Path, window: Window
    ) -> tuple[NDArray[Any] | None, NDArray[Any]]:
        raw, valid = self.reader.read_labels(path, window, like=image_path if self.align else None)
        if self._colors is not None:
            return None, self._decode(path, raw, valid, window)
        check_label_shape(raw, where=path)
        if raw.dtype.kind == "f":
            _check_whole(path, raw, valid, window)
        # wide, so that no id of the file wraps around into a class
        raw = np.where(valid, raw, 0).astype(np.int64)
        labels = raw
        if self.reduce_zero_label:
            labels = np.where(raw == 0, self.ignore_index, raw - 1)
            # 255 stays what it was: not labelled
            labels[raw == 255] = self.ignore_index
        elif self.label_map:
            labels = raw.copy()
            for old, new in self.label_map.items():
                labels[raw == old] = new
        return raw, np.where(valid, labels, self.ignore_index)

    def _decode(
        self, path: Path, raw: NDArray[Any], valid: NDArray[np.bool_], window: Window
    ) -> NDArray[np.uint8]:
        if raw.ndim != 3 or raw.dtype != np.uint8:
            raise LabelError(
                f"labels of shape {raw.shape} and type {raw.dtype} are no colour picture",
                where=path,
                fix="leave label_colors out",
            )
        # padding has no colour: it takes that of the first class, and is ignored below
        colors = np.where(valid[..., None], raw[..., :3], np.uint8(self._colors.colors[0]))
        where = f"{path} (window at row {window.row}, col {window.col})"
        data = {"gt_seg_map": colors[..., ::-1], "seg_map_path": where}
        labels: NDArray[np.uint8] = self._colors.transform(data)["gt_seg_map"]
        labels[~valid] = self.ignore_index
        return labels

    def _no_class(
        self, path: Path, found: tuple[int, int, int], raw: Any, window: Window
    ) -> LabelError:
        value, row, col = found
        stored = value if raw is None else int(raw[row, col])
        became = "" if stored == value else f" (mapped to {value})"
        fix = (
            f"map it: label_map={{{stored}: {self.ignore_index}}}, or give it a class in "
            "metainfo.classes"
        )
        if is_vector(path):
            fix = "map the attribute's values to classes by class_of, or set background"
        elif not self.reduce_zero_label and not self.label_map and value == self.num_classes:
            fix = f"set reduce_zero_label=True if the file's 0 means no data; otherwise {fix}"
        return LabelError(
            f"value {stored}{became} at (row {window.row + row}, col {window.col + col}), but "
            f"classes has {self.num_classes} (0-{self.num_classes - 1})",
            where=path,
            fix=fix,
        )


def _kept(
    cache: OrderedDict[tuple[str, ...], Polygons],
    key: tuple[str, ...],
    make: Callable[[], Polygons],
    *,
    most: int,
) -> Polygons:
    """What a cache holds for a key, made where it holds nothing; what was used last stays."""
    if key not in cache:
        cache[key] = make()
        if len(cache) > most:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]


def _check_whole(path: Path, raw: NDArray[Any], valid: NDArray[np.bool_], window: Window) -> None:
    wrong = valid & (raw != np.round(raw))
    if wrong.any():
        row, col = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise LabelError(
            f"value {raw[row, col]:g} at (row {window.row + row}, col {window.col + col}) is no "
            "class id",
            where=path,
            fix="save labels as whole numbers",
        )
