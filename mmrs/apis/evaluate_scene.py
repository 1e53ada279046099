"""Class maps of whole scenes against label rasters, window by window: scenes of any size."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from mmrs.apis.score.scene_counts import Progress, SceneCounts
from mmrs.apis.score.scene_labels import NO_LABEL, LabelRule, SceneLabels
from mmrs.engine.boundary import BoundaryScores, boundary_score
from mmrs.engine.boundary_metric import (
    BOUNDARY_NAMES,
    boundary_values,
    check_boundary_width,
    width_in_px,
)
from mmrs.engine.confusion import SegScores, score
from mmrs.engine.score_tables import boundary_tables, seg_tables
from mmrs.engine.seg_metric import (
    METRIC_NAMES,
    check_metric_names,
    ignored_share,
    save_matrix,
    seg_values,
)
from mmrs.errors import ConfigError, DataError, OutputError
from mmrs.geo.raster import GDAL_CACHE_BYTES, Raster

Pair = tuple[str | Path, str | Path]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SceneScores:
    """Scores of class maps, over all scenes at once.

    Attributes:
        values: The scores asked for, in percent.
        scores: Of the confusion matrix.
        boundary: Of the boundaries, where a width was given.
        ignored: Pixels without a label.
        unpredicted: Pixels with a label but without a prediction; not counted.
        scenes: Number of scenes.
        boundary_width: As it was given, with its unit.
    """

    values: Mapping[str, float]
    scores: SegScores
    boundary: BoundaryScores | None
    ignored: int
    unpredicted: int
    scenes: int
    boundary_width: str = ""

    def text(self) -> str:
        """Tables, what was left out of the means, and the protocol."""
        own = {name: value for name, value in self.values.items() if name in METRIC_NAMES}
        parts = seg_tables(self.scores, own or seg_values(self.scores))
        if self.boundary is not None:
            chosen = {n: v for n, v in self.values.items() if n in BOUNDARY_NAMES}
            parts += boundary_tables(self.boundary, chosen or boundary_values(self.boundary))
        counted = int(self.scores.matrix.sum())
        width = f"; boundaries at {self.boundary_width}" if self.boundary_width else ""
        parts.append(
            f"protocol: {self.scenes} whole scene{'' if self.scenes == 1 else 's'}, every pixel "
            f"counted once; {ignored_share(counted + self.unpredicted, self.ignored)}; "
            f"{self.unpredicted} labelled pixels without a prediction, not counted{width}"
        )
        return "\n".join(parts)


def evaluate_scenes(
    pairs: Sequence[Pair],
    *,
    metrics: Sequence[str] = ("mIoU", "mF1", "OA"),
    classes: Sequence[str] | None = None,
    exclude_from_mean: Sequence[str] = (),
    label_map: Mapping[int, int] | None = None,
    reduce_zero_label: bool = False,
    colour_labels: bool = False,
    ignore_index: int = 255,
    boundary_px: float | None = None,
    boundary_m: float | None = None,
    reproject: bool = False,
    confusion_matrix: str | Path | None = None,
    progress: Progress | None = None,
) -> SceneScores:
    """Compare class maps with labels, each pixel of each scene once.

    No label is: the label raster's nodata, ``ignore_index``, what lies outside the label raster.
    No prediction is the map's nodata (255 in maps of ``tools/predict.py``).

    Args:
        pairs: (class map, label raster) of each scene, on one grid.
        metrics: Scores of `mmrs.SegMetric` and, with a width, of `mmrs.BoundaryMetric`.
        classes: Names, in the order of the ids; by default those that the maps carry.
        exclude_from_mean: Names of classes that are scored but not averaged.
        label_map: Id in the label file -> class id, for those that differ.
        reduce_zero_label: The label files' 0 is no label, 1 is the first class.
        colour_labels: The labels are RGB pictures in the colours of the map; black is no label
            where no class is black.
        ignore_index: The label id that does not count, after the mapping.
        boundary_px: Width for boundary scores in pixels; or
        boundary_m: in metres.
        reproject: Bring labels on another grid to the map's, nearest neighbour.
        confusion_matrix: A CSV file to write the matrix to.
        progress: Called with (blocks done, blocks in all) of a scene.

    Returns:
        The scores.

    Raises:
        ConfigError: An option has no meaning, or no class names are known.
        DataError: A file cannot be read, or a map and its labels are on different grids.
        LabelError: A label is no class and not ignored.
        OutputError: The matrix cannot be written.
    """
    names = check_metric_names(
        list(metrics), where="--metrics", known=(*METRIC_NAMES, *BOUNDARY_NAMES)
    )
    _check_width(names, boundary_px, boundary_m)
    if not pairs:
        raise ConfigError("no class map and label raster", fix="name MAP LABEL")
    if confusion_matrix is not None:
        _check_matrix(Path(confusion_matrix), pairs)
    rule = LabelRule(
        label_map=dict(label_map or {}),
        reduce_zero_label=reduce_zero_label,
        colours=colour_labels,
        ignore_index=ignore_index,
    )
    class_names = _class_names([Path(path) for path, _ in pairs], classes, exclude_from_mean)
    totals = SceneCounts(len(class_names))
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        # every pair is checked before the first is counted; none stays open, for there may be
        # more of them than a process may open
        widths = []
        for pair in pairs:
            with ExitStack() as stack:
                raster, labels = _open(stack, pair, class_names, rule, reproject)
                _warn_without_place(raster, labels)
                widths.append(_width_of(raster, boundary_px, boundary_m))
        for pair, width in zip(pairs, widths, strict=True):
            with ExitStack() as stack:
                raster, labels = _open(stack, pair, class_names, rule, reproject)
                totals.add(raster, labels, width, progress)
    scores = score(totals.matrix, class_names, exclude_from_mean=exclude_from_mean)
    values = seg_values(scores)
    boundary = None
    if boundary_px is not None or boundary_m is not None:
        boundary = boundary_score(totals.boundary, class_names, exclude_from_mean=exclude_from_mean)
        values |= boundary_values(boundary)
        names = (*names, *(n for n in BOUNDARY_NAMES if not set(names) & set(BOUNDARY_NAMES)))
    if confusion_matrix is not None:
        save_matrix(scores, confusion_matrix)
    return SceneScores(
        values={name: values[name] for name in names},
        scores=scores,
        boundary=boundary,
        ignored=totals.ignored,
        unpredicted=totals.unpredicted,
        scenes=len(pairs),
        boundary_width=_width_text(boundary_px, boundary_m),
    )


def _open(
    stack: ExitStack,
    pair: Pair,
    class_names: Sequence[str],
    rule: LabelRule,
    reproject: bool,
) -> tuple[Raster, SceneLabels]:
    raster = stack.enter_context(Raster(pair[0]))
    if raster.count != 1 or np.dtype(raster.dtype).kind not in "iu":
        raise DataError(
            f"{raster.count} bands of {raster.dtype}, but a class map is one band of ids",
            where=pair[0],
            fix="give the map that tools/predict.py wrote",
        )
    labels = SceneLabels(
        pair[1], raster, num_classes=len(class_names), rule=rule, reproject=reproject
    )
    stack.callback(labels.close)
    return raster, labels


def _check_matrix(path: Path, pairs: Sequence[Pair]) -> None:
    if path.resolve() in {Path(each).resolve() for pair in pairs for each in pair}:
        raise OutputError(
            "would overwrite a file that is evaluated", where=path, fix="name a .csv of its own"
        )


def _warn_without_place(raster: Raster, labels: SceneLabels) -> None:
    for each in (raster, labels):
        if each.georeference.is_missing:
            logger.warning(
                "warning: %s: has no CRS or grid, so pixels are compared as they lie", each.path
            )


def _class_names(
    maps: Sequence[Path], classes: Sequence[str] | None, excluded: Sequence[str]
) -> tuple[str, ...]:
    if classes is None:
        told: dict[tuple[str, ...], Path] = {}
        for path in maps:
            told.setdefault(_names_in(path), path)
        if len(told) > 1:
            (first, one), (second, other) = list(told.items())[:2]
            raise DataError(
                f"its classes are {', '.join(second)}, those of {one} {', '.join(first)}",
                where=other,
                fix="evaluate maps of one model at a time",
            )
        names = next(iter(told))
    else:
        names = tuple(classes)
    if not 1 <= len(names) <= NO_LABEL:
        raise ConfigError(f"{len(names)} classes", where="--classes", fix="name 1 to 255 classes")
    for name in excluded:
        if name not in names:
            raise ConfigError(
                f"{name!r} is not a class", where="--exclude", fix=f"choose from {', '.join(names)}"
            )
    return names


def _names_in(path: Path) -> tuple[str, ...]:
    with Raster(path) as raster:
        text = raster.dataset.tags().get("CLASS_NAMES")
    try:
        names: Any = json.loads(text or "")
        return tuple(str(name) for name in names)
    except (ValueError, TypeError):
        raise DataError(
            "it does not name its classes", where=path, fix="name them in order with --classes"
        ) from None


def _check_width(names: Sequence[str], boundary_px: float | None, boundary_m: float | None) -> None:
    if not set(names) & set(BOUNDARY_NAMES) and boundary_px is None and boundary_m is None:
        return
    try:
        check_boundary_width(boundary_px, boundary_m)
    except ConfigError as error:
        raise ConfigError(
            error.what, where="bIoU, bF1", fix="add --boundary-px 3, or --boundary-m 0.5"
        ) from error


def _width_of(raster: Raster, boundary_px: float | None, boundary_m: float | None) -> float | None:
    if boundary_m is None:
        return boundary_px
    if raster.gsd_m is None:
        raise DataError(
            f"the size of its pixels in metres is not known for --boundary-m {boundary_m:g}",
            where=raster.path,
            fix="use --boundary-px",
        )
    return width_in_px(boundary_m, raster.gsd_m, where=raster.path)


def _width_text(boundary_px: float | None, boundary_m: float | None) -> str:
    if boundary_m is not None:
        return f"{boundary_m:g} m"
    return "" if boundary_px is None else f"{boundary_px:g} px"


def parse_label_map(words: Sequence[str]) -> dict[int, int]:
    """``["255=1", "3=0"]`` as a mapping of ids.

    Raises:
        ConfigError: A word is not two whole numbers.
    """
    found = {}
    for word in words:
        old, equals, new = word.partition("=")
        # labels of int16 may be negative
        if not (equals and old.removeprefix("-").isdigit() and new.isdigit()):
            raise ConfigError(
                f"{word!r} does not map an id", where="--label-map", fix="write OLD=NEW, as 255=1"
            )
        found[int(old)] = int(new)
    return found
