"""The labels of a scene as its class map sees them: class ids on the map's grid, 255 where none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrs.errors import ConfigError, DataError, LabelError
from mmrs.geo.aligned_labels import AlignedLabels
from mmrs.geo.palette_codec import PaletteCodec
from mmrs.geo.raster import Georeference, Raster
from mmrs.geo.window_reader import grid_difference
from mmrs.geo.windows import Window
from mmrs.label_check import find_invalid_label

NO_LABEL = 255


@dataclass(frozen=True)
class LabelRule:
    """How ids in label files become class ids.

    Attributes:
        label_map: Id in the file -> class id, for those that differ.
        reduce_zero_label: 0 is no label, 1 the first class.
        colours: The files are RGB pictures.
        ignore_index: The id that does not count, after the mapping.

    Raises:
        ConfigError: Two of the mappings are asked for at once.
    """

    label_map: Mapping[int, int] = field(default_factory=dict)
    reduce_zero_label: bool = False
    colours: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if (bool(self.label_map), self.reduce_zero_label, self.colours).count(True) > 1:
            raise ConfigError(
                "labels can be mapped in one way only",
                where="--label-map",
                fix="use one of --label-map, --reduce-zero-label and --colour-labels",
            )


class SceneLabels:
    """Reads windows of a label raster.

    Args:
        path: The label raster.
        scene_map: The open class map that it belongs to.
        num_classes: Number of classes.
        rule: How its ids become class ids.
        reproject: Bring it to the map's grid where that differs.

    Raises:
        DataError: It cannot be read, or is on another grid.
        LabelError: It is a picture where ids are expected, or the reverse.
    """

    def __init__(
        self,
        path: str | Path,
        scene_map: Raster,
        *,
        num_classes: int,
        rule: LabelRule,
        reproject: bool = False,
    ) -> None:
        self.path = Path(path)
        self.num_classes = num_classes
        self.rule = rule
        self._raster = Raster(path)
        self._aligned: AlignedLabels | None = None
        try:
            self._check_kind()
            self._codec = _codec(scene_map, num_classes) if rule.colours else None
            difference = grid_difference(self._raster, scene_map)
            if difference is not None:
                if not reproject:
                    raise DataError(
                        f"not on the grid of {scene_map.path} "
                        f"({difference.replace('image:', 'map:')})",
                        where=path,
                        fix="add --reproject to bring the labels to the map's grid",
                    )
                self._aligned = AlignedLabels(path, scene_map)
        except BaseException:
            self._raster.close()
            raise

    @property
    def georeference(self) -> Georeference:
        """Where the label raster lies."""
        return self._raster.georeference

    def close(self) -> None:
        """Close the file."""
        self._raster.close()
        if self._aligned is not None:
            self._aligned.close()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids of a window of the map, (h, w), 255 where there is no label.

        Raises:
            DataError: The file is damaged there.
            LabelError: A pixel is no class and not ignored.
        """
        if self._aligned is not None:
            pixels, valid = self._aligned.read(window)
        else:
            pixels, valid, _ = self._raster.read_with_valid(window)
        ids = self._decode(pixels, valid, window) if self._codec else self._mapped(pixels[..., 0])
        counted = valid & (ids != self.rule.ignore_index)
        # what does not count becomes a class here: no id beside the classes is allowed, -1 neither
        ids = np.where(counted, ids, 0)
        wrong = find_invalid_label(ids, num_classes=self.num_classes, ignore_index=0)
        if wrong is not None:
            row, col = wrong[1:]
            raise self._explain(int(pixels[row, col, 0]), window.row + row, window.col + col)
        return np.where(counted, ids, NO_LABEL).astype(np.uint8)

    def _mapped(self, ids: NDArray) -> NDArray[np.int64]:
        found = ids.astype(np.int64)
        if self.rule.reduce_zero_label:
            # as MMSegmentation has it: 0 becomes ignored, and so does 255
            return np.where((ids == 0) | (ids == 255), self.rule.ignore_index, found - 1)
        for old, new in self.rule.label_map.items():
            found[ids == old] = new
        return found

    def _decode(self, rgb: NDArray, valid: NDArray[np.bool_], window: Window) -> NDArray[np.int64]:
        assert self._codec is not None
        ids, unknown = self._codec.decode(rgb[..., :3])
        unknown &= valid & (rgb[..., :3] != 0).any(axis=-1)
        if unknown.any():
            row, col = np.unravel_index(int(unknown.argmax()), unknown.shape)
            colour = tuple(int(value) for value in rgb[row, col, :3])
            raise LabelError(
                f"colour {colour} at (row {window.row + row}, col {window.col + col}) is no "
                f"class's in the map; {int(unknown.sum())} such pixels in this block",
                where=self.path,
                fix="convert the labels to ids first (tools/prepare_dataset.py generic)",
            )
        black_is_class = (0, 0, 0) in {c for own in self._codec.colours.values() for c in own}
        black = (rgb[..., :3] == 0).all(axis=-1)
        no_label = black & (not black_is_class)
        return np.where(no_label, self.rule.ignore_index, ids.astype(np.int64))

    def _check_kind(self) -> None:
        count, dtype = self._raster.count, self._raster.dtype
        if self.rule.colours and (count < 3 or dtype != "uint8"):
            raise LabelError(
                f"{count} band{'' if count == 1 else 's'} of {dtype}, but --colour-labels are RGB",
                where=self.path,
                fix="leave --colour-labels out",
            )
        if not self.rule.colours and count != 1:
            raise LabelError(
                f"a picture of {count} bands, but labels must be class ids",
                where=self.path,
                fix="add --colour-labels where its colours are those of the map",
            )
        if np.dtype(dtype).kind not in "iu":
            raise LabelError(
                f"labels of {dtype}", where=self.path, fix="save them as whole numbers"
            )

    def _explain(self, raw: int, row: int, col: int) -> LabelError:
        fix = "--label-map OLD=NEW maps ids, --classes names more"
        if raw == self.num_classes and not self.rule.reduce_zero_label:
            fix = f"add --reduce-zero-label if the file's 0 means no data; otherwise {fix}"
        return LabelError(
            f"value {raw} at (row {row}, col {col}), but classes has {self.num_classes} "
            f"(0-{self.num_classes - 1})",
            where=self.path,
            fix=fix,
        )


def _codec(scene_map: Raster, num_classes: int) -> PaletteCodec:
    try:
        table = scene_map.dataset.colormap(1)
    except ValueError:  # rasterio's word for a band without one
        table = {}
    colours: dict[int, Sequence[tuple[int, int, int]]] = {
        index: [colour[:3]] for index, colour in table.items() if index < num_classes
    }
    if len(colours) < num_classes:
        raise DataError(
            f"it has colours for {len(colours)} of {num_classes} classes, which --colour-labels "
            "are read by",
            where=scene_map.path,
            fix="convert the labels to ids",
        )
    try:
        return PaletteCodec(colours)
    except ValueError as error:
        raise DataError(
            str(error), where=scene_map.path, fix="convert the labels to ids"
        ) from error
