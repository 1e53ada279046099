"""One label file of a data set: its ids, what the pipeline makes of them, what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations
from numpy.typing import NDArray
from PIL import Image

from mmrs.apis.checks.data_files import quiet_pillow
from mmrs.apis.checks.findings import Finding
from mmrs.apis.checks.label_table import count_ids
from mmrs.errors import DataError, LabelError, MmrsError
from mmrs.geo.raster import Raster
from mmrs.label_check import check_label_shape, check_labels

WHOLE_PX = 1 << 28  # a label of more is not read at once
# Transforms of these packages never change what a label id means (``maps_labels`` ones aside).
_KNOWN_PACKAGES = ("mmcv", "mmengine", "mmrs", "mmseg")


@dataclass
class LabelFacts:
    """What one label file holds.

    Attributes:
        labels: (H, W) train ids; None where the file cannot be turned into them.
        counts: (id in the file, train id) -> pixels; the first is None for colour pictures.
        ids: Ids in the file; empty for colour pictures.
        mapped: For each ``MapLabels`` of the pipeline, the ids that came to it.
        parts: Windows of a large raster and their counts; empty for files that are read whole.
        findings: What is wrong with it.
    """

    labels: NDArray | None = None
    counts: Counter = field(default_factory=Counter)
    ids: frozenset[int] = frozenset()
    mapped: list[frozenset[int]] = field(default_factory=list)
    parts: list[tuple[Any, Counter]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class LabelReader:
    """Reads label files as the pipeline of a data set does.

    Args:
        dataset: Gives the classes and the id that does not count.
        transforms: Its pipeline.

    Attributes:
        steps: The steps that make ``gt_seg_map`` from the file; [] where they are not known.
        colored: Whether they read colour pictures.
        foreign: Whether a step of the user's own may give the ids their meaning later.
    """

    def __init__(self, dataset: Any, transforms: Sequence[Any]) -> None:
        metainfo = getattr(dataset, "metainfo", None) or {}
        self.num_classes = len(metainfo.get("classes") or ())
        self.palette = [tuple(color) for color in (metainfo.get("palette") or [])]
        self.ignore_index = int(getattr(dataset, "ignore_index", 255))
        self.reduce_zero_label = bool(getattr(dataset, "reduce_zero_label", False))
        self.steps = _load_steps(transforms)
        self.colored = any(type(step).__name__ == "MapColors" for step in self.steps)
        self.foreign = any(
            type(step).__module__.split(".")[0] not in _KNOWN_PACKAGES for step in transforms
        )

    def read(self, info: dict, *, whole: bool = True) -> LabelFacts:
        """Read one file; nothing is raised for what is wrong with it.

        Args:
            info: The sample.
            whole: Not used: files of a data set of tiles are small enough to be read whole.
        """
        del whole
        path = info["seg_map_path"]
        facts = LabelFacts()
        raw = _read_raw(path)
        try:
            if raw is not None and not self.colored:
                self._refuse_picture(raw, path)
                if not any(getattr(step, "keeps_wide_ids", False) for step in self.steps):
                    _refuse_numbers_that_change(raw, path)
        except LabelError as error:
            kind = "colours" if raw is not None and raw.ndim == 3 else "encoding"
            facts.findings.append(Finding(kind, "error", error))
            return facts
        try:
            facts.labels = self._load(info, facts)
        except LabelError as error:
            facts.findings.append(Finding("colours", "error", error))
            return facts
        except MmrsError as error:
            facts.findings.append(Finding("unreadable", "error", error))
            return facts
        known = None if self.colored or raw is None else raw
        facts.counts = count_ids(known, facts.labels)
        facts.ids = frozenset(value for value, _ in facts.counts if value is not None)
        if not self.foreign:
            try:
                self._check_range(facts.labels, path)
            except LabelError as error:
                grey = "different values" in error.what
                facts.findings.append(Finding("encoding" if grey else "range", "error", error))
        return facts

    def _load(self, info: dict, facts: LabelFacts) -> NDArray:
        path = info["seg_map_path"]
        data: Any = {key: list(v) if isinstance(v, list) else v for key, v in info.items()}
        try:
            for step in self.steps:
                if type(step).__name__ == "MapLabels":
                    facts.mapped.append(frozenset(np.unique(data["gt_seg_map"]).tolist()))
                data = step(data)
        except MmrsError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise DataError(
                f"cannot be loaded as a label ({type(error).__name__}: {text})",
                where=path,
                fix="replace it, or take the pair out of the data set",
            ) from error
        labels = np.asarray(data["gt_seg_map"])
        check_label_shape(labels, where=path)
        return labels

    def _check_range(self, labels: NDArray, path: str) -> None:
        try:
            check_labels(
                labels,
                num_classes=self.num_classes,
                ignore_index=self.ignore_index,
                where=path,
                reduce_zero_label=self.reduce_zero_label,
            )
        except LabelError as error:
            values = len(np.unique(labels))
            if values > self.num_classes + 8:
                raise LabelError(
                    f"{error.what}; the file holds {values} different values",
                    where=path,
                    fix="a grey or anti-aliased mask must be turned into class ids first",
                ) from error
            raise

    def _refuse_picture(self, raw: NDArray, path: str) -> None:
        """Ask for the colour map where a label is a picture, with what is known of its colours."""
        if raw.ndim == 2:
            return
        if raw.ndim != 3 or raw.shape[2] not in (3, 4) or not self.palette or raw.dtype != np.uint8:
            check_label_shape(raw, where=path)
        # packed: NumPy sorts rows of three numbers a hundred times slower than one
        packed = raw[..., :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
        values, pixels = np.unique(packed, return_counts=True)
        colors = [(int(v) >> 16, int(v) >> 8 & 255, int(v) & 255) for v in values]
        unknown = [
            (color, n)
            for color, n in zip(colors, pixels.tolist(), strict=True)
            if color not in self.palette
        ]
        told = f"{len(colors) - len(unknown)} of its {len(colors)} colours are in the palette"
        if unknown:
            first = unknown[0][0]
            pixels_told = sum(n for _, n in unknown)
            told += f", {len(unknown)} are not ({pixels_told} pixels, such as {first})"
        raise LabelError(
            f"a colour picture ({raw.shape[2]} channels), but labels must be class ids; {told}",
            where=path,
            fix="give the colour map: dict(type='mmrs.MapColors', colors=[(r, g, b), ...]) after "
            "LoadAnnotations, one colour a class",
        )


def reads_labels(transforms: Sequence[Any]) -> bool:
    """Whether any step reads labels, those of test-time augmentation included."""
    for step in transforms:
        if isinstance(step, LoadAnnotations):
            return True
        inner = [*getattr(step, "transforms", []), *getattr(step, "subroutines", [])]
        if inner and reads_labels(inner):
            return True
    return False


def _load_steps(transforms: Sequence[Any]) -> list[Any]:
    """Return the steps that make ``gt_seg_map`` from the file; [] where they are not known."""
    if not any(isinstance(step, LoadAnnotations) for step in transforms):
        return []
    return [
        step
        for step in transforms
        if isinstance(step, LoadAnnotations) or getattr(step, "maps_labels", False)
    ]


def _read_raw(path: str) -> NDArray | None:
    """Return the ids of a label file as they are stored, (H, W) or (H, W, bands)."""
    try:
        with quiet_pillow(), Image.open(path) as picture:
            array = np.asarray(picture)
    except Exception:  # not Pillow's, whose decoders raise what they like: GDAL may know it
        try:
            with Raster(path) as raster:
                if raster.height * raster.width * raster.count > WHOLE_PX:
                    return None
                array = raster.read()
        except MmrsError:
            return None  # the loading step tells whether it is readable
        array = array[..., 0] if array.shape[-1] == 1 else array
    return array.astype(np.uint8) if array.dtype == bool else array


def _refuse_numbers_that_change(raw: NDArray, path: str) -> None:
    """The loading step cuts labels to bytes without a word: wide ids and fractions change."""
    if not raw.size:
        return
    if raw.dtype.kind == "f" and not (np.isfinite(raw) & (raw == np.round(raw))).all():
        row, col = np.argwhere(~(np.isfinite(raw) & (raw == np.round(raw))))[0]
        raise LabelError(
            f"value {raw[row, col]:g} at (row {row}, col {col}) is no whole number; it is cut to "
            "one when loaded",
            where=path,
            fix="save the labels as 8-bit class ids",
        )
    if raw.min() < 0 or raw.max() > 255:
        raise LabelError(
            f"values {raw.min():g} to {raw.max():g}; they are cut to a byte when loaded",
            where=path,
            fix="save the labels as 8-bit class ids",
        )
