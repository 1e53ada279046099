"""Label ids, or label colours, to the ids that the classes have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmrs.errors import ConfigError, LabelError
from mmrs.label_check import check_label_shape
from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MapLabels(BaseTransform):
    """Give label ids new values; ids that are not named keep theirs.

    Put it right after ``LoadAnnotations``: ``reduce_zero_label`` and the data set's own
    ``label_map`` have been applied by then. Masks of 0 and 255 become classes 0 and 1 by
    ``dict(type='mmrs.MapLabels', label_map={255: 1})``.

    Args:
        label_map: Old id -> new id, each 0 to 255; all at once, so ids can be swapped.

    Raises:
        ConfigError: An id is not a whole number from 0 to 255.
    """

    maps_labels = True  # the checks before a run look at labels after this step

    def __init__(self, *, label_map: Mapping[int, int]) -> None:
        super().__init__()
        self.label_map = {}
        for old, new in label_map.items():
            for value in (old, new):
                if isinstance(value, bool) or not str(value).isdigit() or int(value) > 255:
                    raise ConfigError(
                        f"id {value!r} is not a whole number from 0 to 255",
                        where="MapLabels.label_map",
                        fix="map label ids as they are in the files, such as {255: 1}",
                    )
            self.label_map[int(old)] = int(new)
        self._table = np.arange(256, dtype=np.uint8)
        for old, new in self.label_map.items():
            self._table[old] = new

    def transform(self, results: dict) -> dict:
        """Map ``results['gt_seg_map']`` (H, W)."""
        label = np.asarray(results["gt_seg_map"])
        check_label_shape(label, where=results.get("seg_map_path"))
        if label.dtype != np.uint8:
            if label.size and (label.min() < 0 or label.max() > 255):
                raise LabelError(
                    f"values {label.min()} to {label.max()}; ids must be 0 to 255",
                    where=results.get("seg_map_path"),
                    fix="save the labels as 8-bit ids",
                )
            label = label.astype(np.uint8)
        results["gt_seg_map"] = self._table[label]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(label_map={self.label_map})"


@TRANSFORMS.register_module()
class MapColors(BaseTransform):
    """Turn a colour label picture into class ids; a colour that is not named is an error.

    Put it right after ``LoadAnnotations``.

    Args:
        colors: The RGB colour of every class, in id order.
        ignore_colors: RGB colours that become ``ignore_index``.
        ignore_index: The id of what does not count.

    Raises:
        ConfigError: A colour is not three numbers from 0 to 255, or is given twice; or the
            data set sets ``reduce_zero_label``, which spoils colours.
        LabelError: The label is not a colour picture, or holds other colours: their number,
            the pixels they cover, and the first of them.
    """

    maps_labels = True

    def __init__(
        self,
        *,
        colors: Sequence[Sequence[int]],
        ignore_colors: Sequence[Sequence[int]] = (),
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.colors = [_check_color(color) for color in colors]
        self.ignore_colors = [_check_color(color) for color in ignore_colors]
        self.ignore_index = ignore_index
        named = [*self.colors, *self.ignore_colors]
        if len(set(named)) < len(named):
            twice = next(color for color in named if named.count(color) > 1)
            raise ConfigError(
                f"{twice} is given twice", where="MapColors.colors", fix="name each colour once"
            )
        ids = [*range(len(self.colors)), *[ignore_index] * len(self.ignore_colors)]
        packed = np.array([(r << 16) | (g << 8) | b for r, g, b in named], dtype=np.uint32)
        order = np.argsort(packed)
        self._packed, self._ids = packed[order], np.array(ids, dtype=np.uint8)[order]

    def transform(self, results: dict) -> dict:
        """Map ``results['gt_seg_map']`` (H, W, 3 or 4), blue first as mmcv loads it."""
        where = results.get("seg_map_path")
        if results.get("reduce_zero_label"):
            raise ConfigError(
                "reduce_zero_label=True changes the colours before they are mapped",
                where=where,
                fix="set reduce_zero_label=False; ignore_colors name what does not count",
            )
        label = np.asarray(results["gt_seg_map"])
        if label.ndim != 3 or label.shape[2] < 3:
            raise LabelError(
                f"a label of shape {label.shape} is no colour picture",
                where=where,
                fix="take mmrs.MapColors out of the pipeline",
            )
        blue, green, red = (label[..., i].astype(np.uint32) for i in range(3))
        packed = (red << 16) | (green << 8) | blue
        slot = np.searchsorted(self._packed, packed).clip(max=len(self._packed) - 1)
        unknown = self._packed[slot] != packed
        if unknown.any():
            row, col = np.unravel_index(int(unknown.argmax()), unknown.shape)
            raise LabelError(
                f"{len(np.unique(packed[unknown]))} colours are not in the colour map "
                f"({int(unknown.sum())} pixels), the first is "
                f"{tuple(int(v) for v in label[row, col, 2::-1])} at (row {row}, col {col})",
                where=where,
                fix="add them to colors or ignore_colors of mmrs.MapColors",
            )
        results["gt_seg_map"] = self._ids[slot]
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(colors={self.colors}, ignore_colors={self.ignore_colors}, "
            f"ignore_index={self.ignore_index})"
        )


def _check_color(color: Sequence[int]) -> tuple[int, int, int]:
    if len(color) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in color):
        raise ConfigError(
            f"{color!r} is no colour",
            where="MapColors.colors",
            fix="give three whole numbers from 0 to 255, red first",
        )
    return (color[0], color[1], color[2])
