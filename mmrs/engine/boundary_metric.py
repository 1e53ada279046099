"""How well a run's maps draw the boundaries of the classes."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from numpy.typing import NDArray

from mmrs.engine.boundary import NUM_COUNTS, BoundaryScores, boundary_counts, boundary_score
from mmrs.engine.counted_metric import CountedMetric, file_of
from mmrs.engine.score_tables import NOTHING_TO_AVERAGE, boundary_tables
from mmrs.engine.seg_metric import check_metric_names
from mmrs.errors import ConfigError, DataError
from mmrs.registry import METRICS

BOUNDARY_NAMES = ("bIoU", "bF1")


@METRICS.register_module()
class BoundaryMetric(CountedMetric):
    """Boundary IoU and boundary F1 at a width, per class and their means, in percent.

    The band of a class holds its pixels within the width of a pixel of another class (chessboard
    metric, whole pixels); boundary IoU is the IoU of the bands of prediction and truth. A pixel
    beside one of another class (8 neighbours) is on its class's boundary; precision and recall
    are the shares of boundary pixels with one of the other map, of the same class, within the
    width (Euclidean). Counts are summed over the data set before anything is divided.

    Ignored pixels are in no band and on no boundary, and make none of their neighbours; neither
    does the edge of an image, so that tiles of a scene do not get boundaries that the scene has
    not (Cheng et al. count that edge). Labels whose boundaries are ignored (ISPRS, eroded) keep
    a band only where the width spans the ignored strip: prefer full labels.

    Args:
        width_px: The width in pixels, at least 1; or
        width_m: in metres, by the ground sampling distance of each sample.
        gsd_m: Metres a pixel, instead of what the samples say (``gsd_m`` in their metas).
        score_names: Which of bIoU and bF1 (means over the classes) to return.
        exclude_from_mean: Class names that are scored but not averaged.
        ignore_index: The label that does not count.
        stitch: As in `mmrs.SegMetric`.
        prefix: Put before each score's name.

    Raises:
        ConfigError: Not exactly one width is given, it is no positive number or less than a
            pixel, or a name is unknown.
        DataError: A width in metres, and a sample without a ground sampling distance.

    Source: Cheng et al. 2021, arXiv:2103.16562; Csurka et al. 2013, BMVC.
    """

    def __init__(
        self,
        *,
        width_px: float | None = None,
        width_m: float | None = None,
        gsd_m: float | None = None,
        score_names: Sequence[str] = BOUNDARY_NAMES,
        exclude_from_mean: Sequence[str] = (),
        ignore_index: int = 255,
        stitch: bool = False,
        prefix: str | None = None,
    ) -> None:
        super().__init__(
            exclude_from_mean=exclude_from_mean,
            ignore_index=ignore_index,
            stitch=stitch,
            prefix=prefix,
        )
        names = [score_names] if isinstance(score_names, str) else list(score_names)
        self.score_names = check_metric_names(
            names, where="BoundaryMetric.score_names", known=BOUNDARY_NAMES
        )
        check_boundary_width(width_px, width_m, gsd_m, where="BoundaryMetric.")
        self.width_px = width_px
        self.width_m = width_m
        self.gsd_m = gsd_m
        self.scores: BoundaryScores | None = None

    @property
    def count_length(self) -> int:
        """See `boundary_counts`."""
        return NUM_COUNTS * len(self.class_names)

    def count(
        self, prediction: NDArray, label: NDArray, meta: Mapping[str, Any]
    ) -> NDArray[np.int64]:
        """Boundary counts, flat."""
        self.check_label(label, meta)
        counts = boundary_counts(
            prediction,
            label,
            num_classes=len(self.class_names),
            width_px=self._width_px(meta),
            ignore_index=self.ignore_index,
        )
        return counts.ravel()

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores of ``results``, a list of flat counts, and print the tables."""
        counts = np.sum(results, axis=0, dtype=np.int64).reshape(NUM_COUNTS, -1)
        scores = boundary_score(counts, self.class_names, exclude_from_mean=self.exclude_from_mean)
        self.scores = scores
        values = boundary_values(scores)
        values = {name: values[name] for name in self.score_names}
        if is_main_process():
            logger = MMLogger.get_current_instance()
            for text in boundary_tables(scores, values):
                print_log(text, logger=logger)
            width = f"{self.width_px:g} px" if self.width_m is None else f"{self.width_m:g} m"
            print_log(f"protocol: boundaries at {width}; {self.overlap_rule}", logger=logger)
            if not scores.averaged.any():
                print_log(NOTHING_TO_AVERAGE, logger=logger, level=logging.WARNING)
        return values

    def _width_px(self, meta: Mapping[str, Any]) -> float:
        if self.width_m is None:
            assert self.width_px is not None  # the check of the width says so
            return self.width_px
        gsd = self.gsd_m if self.gsd_m is not None else meta.get("gsd_m")
        if gsd is None:
            raise DataError(
                f"no ground sampling distance is known for width_m={self.width_m:g}",
                where=file_of(meta),
                fix="set gsd_m of BoundaryMetric, or width_px",
            )
        return width_in_px(self.width_m, gsd, where=file_of(meta))


def boundary_values(scores: BoundaryScores) -> dict[str, float]:
    """Every score of `BOUNDARY_NAMES`, in percent."""
    return {"bIoU": 100 * scores.mean(scores.iou), "bF1": 100 * scores.mean(scores.f1)}


def check_boundary_width(
    width_px: float | None, width_m: float | None, gsd_m: float | None = None, *, where: str = ""
) -> None:
    """Raise where the width is not given once, as a number that means something.

    Raises:
        ConfigError: With the option.
    """
    if (width_px is None) == (width_m is None):
        given = "neither" if width_px is None else "both"
        raise ConfigError(
            f"a width in pixels or in metres is needed, {given} is given",
            where=f"{where}width_px",
            fix="set width_px=3, or width_m=0.5",
        )
    for name, value, least in (
        ("width_px", width_px, 1),
        ("width_m", width_m, 0),
        ("gsd_m", gsd_m, 0),
    ):
        if value is not None and not (value >= least and 0 < value < math.inf):
            rule = "> 0" if least == 0 else f">= {least}"
            raise ConfigError(
                f"must be {rule}, got {value:g}", where=f"{where}{name}", fix="give a larger one"
            )


def width_in_px(width_m: float, gsd_m: Any, *, where: Any = None) -> float:
    """A width in metres, in pixels of a ground sampling distance (of its mean, if not square).

    Raises:
        ConfigError: It is less than a pixel.
    """
    gsd = float(np.mean(gsd_m))
    # 0.3 m are 3 px of 0.1 m, although the quotient is below 3
    width = round(width_m / gsd, 9) if gsd > 0 else math.nan
    if not width >= 1:
        raise ConfigError(
            f"a boundary of {width_m:g} m is less than a pixel of {gsd:g} m",
            where=where,
            fix=f"choose at least {gsd:g} m",
        )
    return width
