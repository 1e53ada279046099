"""How well class boundaries are drawn: counts that add up over images, and scores from them.

One rule for what does not count: an ignored pixel is in no band, is on no boundary, and makes no
boundary of its neighbours; neither does the edge of the image, where no object need end.  So
nothing that is predicted on an ignored pixel changes any count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# rows of the counts
BAND_BOTH, BAND_TRUTH, BAND_PREDICTED = 0, 1, 2
TRUE_EDGE, TRUE_EDGE_FOUND, PREDICTED_EDGE, PREDICTED_EDGE_RIGHT = 3, 4, 5, 6
NUM_COUNTS = 7

_CLASSES_AT_A_TIME = 64  # a bit each


def boundary_band(labels: NDArray, valid: NDArray[np.bool_], width_px: int) -> NDArray[np.bool_]:
    """Pixels within a distance of another class: the inner bands of all classes in one map.

    Args:
        labels: (H, W) class ids, at least 0 where valid.
        valid: (H, W), which pixels count.
        width_px: The distance, chessboard metric, at least 1.

    Returns:
        (H, W), True where a valid pixel has a valid one of another class in the square of
        ``2 * width_px + 1`` pixels around it.

    Raises:
        ValueError: ``width_px`` is below 1.
    """
    if width_px < 1:
        raise ValueError(f"width_px must be >= 1, got {width_px}")
    return _band(_filled(labels, valid), width_px)


def _filled(labels: NDArray, valid: NDArray[np.bool_]) -> NDArray:
    """Ids in the smallest type that holds them, its largest value where not valid."""
    ids = np.where(valid, labels, 0)
    dtype = np.uint8 if ids.size == 0 or ids.max() < 255 else np.uint16
    ids = ids.astype(dtype, copy=False)
    ids[~valid] = np.iinfo(dtype).max
    return ids


def _band(filled: NDArray, width_px: int) -> NDArray[np.bool_]:
    side = 2 * min(width_px, max(filled.shape)) + 1
    kernel = np.ones((side, side), np.uint8)
    # what is not valid is the largest value, and 0 one up (it wraps): it wins neither comparison
    lowest = cv2.erode(filled, kernel)
    raised = filled + filled.dtype.type(1)
    highest = cv2.dilate(raised, kernel)
    return ((lowest != filled) | (highest != raised)) & (raised != 0)


def dilate_bits(bits: NDArray, radius_px: float) -> NDArray:
    """Each pixel ORed with all within a Euclidean distance: as many masks as the type has bits.

    Args:
        bits: (H, W) unsigned, one mask a bit.
        radius_px: The distance, at least 0.

    Returns:
        (H, W) of the same type.
    """
    out = np.zeros_like(bits)
    line = bits.copy()  # ORed along the row so far, growing with the disk's half-widths
    half = 0
    for rows in range(math.floor(radius_px), -1, -1):
        wanted = math.floor(math.sqrt(max(radius_px**2 - rows**2, 0)))
        while half < wanted:
            half += 1
            if half < bits.shape[1]:
                line[:, half:] |= bits[:, :-half]
                line[:, :-half] |= bits[:, half:]
        if rows == 0:
            out |= line
        elif rows < bits.shape[0]:
            out[rows:] |= line[:-rows]
            out[:-rows] |= line[rows:]
    return out


def halo_px(width_px: float) -> int:
    """How far around a pixel its counts depend on, in pixels."""
    return math.floor(width_px) + 1


def boundary_counts(
    prediction: NDArray,
    label: NDArray,
    *,
    num_classes: int,
    width_px: float,
    ignore_index: int = 255,
    core: tuple[slice, slice] | None = None,
) -> NDArray[np.int64]:
    """Count bands and boundaries of every class, in the truth, in the prediction, in both.

    Args:
        prediction: (H, W) ids in 0 .. num_classes - 1 wherever the label counts.
        label: (H, W) ids, or ``ignore_index``.
        num_classes: Number of classes.
        width_px: Width of the bands (whole pixels of it, chessboard metric), and the distance
            at which a boundary pixel counts as found (Euclidean); at least 1.
        ignore_index: The label that does not count.
        core: Rows and columns to count; what lies around them, at least `halo_px`, is only
            looked at. Cores that tile a scene give the counts of the scene.

    Returns:
        (7, num_classes) int64: band pixels in both, in the truth, in the prediction; boundary
        pixels of the truth, those of them found; of the prediction, those of them right.

    Raises:
        ValueError: Shapes differ, an id is out of range, or the width is below 1.
    """
    _check_shapes(prediction, label, width_px)
    valid = label != ignore_index
    truth = _checked("label", label, valid, num_classes)
    predicted = _checked("prediction", prediction, valid, num_classes)
    core = (slice(None), slice(None)) if core is None else core

    def count(ids: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(ids[core][mask[core]], minlength=num_classes).astype(np.int64)

    counts = np.zeros((NUM_COUNTS, num_classes), dtype=np.int64)
    bands = [_band(ids, math.floor(width_px)) for ids in (truth, predicted)]
    counts[BAND_BOTH] = count(truth, bands[0] & bands[1] & (truth == predicted))
    counts[BAND_TRUTH] = count(truth, bands[0])
    counts[BAND_PREDICTED] = count(predicted, bands[1])
    edges = [_band(ids, 1) for ids in (truth, predicted)]
    found, right = _near_edges(truth, predicted, edges, num_classes, width_px)
    counts[TRUE_EDGE] = count(truth, edges[0])
    counts[TRUE_EDGE_FOUND] = count(truth, found)
    counts[PREDICTED_EDGE] = count(predicted, edges[1])
    counts[PREDICTED_EDGE_RIGHT] = count(predicted, right)
    return counts


def _near_edges(
    truth: NDArray,
    predicted: NDArray,
    edges: Sequence[NDArray[np.bool_]],
    num_classes: int,
    width_px: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Boundary pixels of the truth with a predicted one of their class nearby, and the reverse."""
    found, right = np.zeros_like(edges[0]), np.zeros_like(edges[1])
    for first in range(0, num_classes, _CLASSES_AT_A_TIME):
        here = min(_CLASSES_AT_A_TIME, num_classes - first)
        bit = next(
            t for t in (np.uint8, np.uint16, np.uint32, np.uint64) if 8 * t(0).nbytes >= here
        )
        table = np.zeros(np.iinfo(truth.dtype).max + 1, dtype=bit)
        table[first : first + here] = bit(1) << np.arange(here, dtype=bit)
        true_bits = table[truth] * edges[0]
        predicted_bits = table[predicted] * edges[1]
        found |= (true_bits & dilate_bits(predicted_bits, width_px)) != 0
        right |= (predicted_bits & dilate_bits(true_bits, width_px)) != 0
    return found, right


def _check_shapes(prediction: NDArray, label: NDArray, width_px: float) -> None:
    if prediction.shape != label.shape or label.ndim != 2:
        raise ValueError(
            "prediction and label must be (H, W) of one shape, "
            f"got {prediction.shape} and {label.shape}"
        )
    if not width_px >= 1:
        raise ValueError(f"width_px must be >= 1, got {width_px}")


def _checked(name: str, ids: NDArray, valid: NDArray[np.bool_], num_classes: int) -> NDArray:
    """See `_filled`."""
    counted = np.where(valid, ids, 0)
    if counted.size and (counted.min() < 0 or counted.max() >= num_classes):
        raise ValueError(
            f"{name} must be in 0..{num_classes - 1}, found {counted.min()}..{counted.max()}"
        )
    filled = counted.astype(np.uint8 if num_classes <= 255 else np.uint16)
    filled[~valid] = np.iinfo(filled.dtype).max
    return filled


@dataclass(frozen=True)
class BoundaryScores:
    """Scores of boundary counts, as fractions; per class.

    A class without a boundary, in the truth and in the prediction, is *absent*: NaN here, and
    left out of every mean.  A class with a boundary in only one of them scores 0.

    Attributes:
        classes: Names, in id order.
        counts: (7, C) int64, see `boundary_counts`.
        iou: (C,) boundary IoU, the IoU of the inner bands.
        f1: (C,) boundary F1, of the two that follow.
        precision: (C,) share of predicted boundary pixels near a true one of the class.
        recall: (C,) share of true boundary pixels near a predicted one of the class.
        averaged: (C,) bool, the classes that the means are over.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    iou: NDArray[np.float64]
    f1: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    averaged: NDArray[np.bool_]

    @property
    def absent(self) -> NDArray[np.bool_]:
        """(C,) bool: no boundary anywhere."""
        return (self.counts[TRUE_EDGE] + self.counts[PREDICTED_EDGE]) == 0

    def mean(self, values: NDArray[np.float64]) -> float:
        """Mean of ``values`` (C,) over the averaged classes; NaN where there is none."""
        return float(values[self.averaged].mean()) if self.averaged.any() else float("nan")


def boundary_score(
    counts: NDArray[np.int64], classes: Sequence[str], *, exclude_from_mean: Sequence[str] = ()
) -> BoundaryScores:
    """Compute the scores of summed counts.

    Args:
        counts: (7, C) int64, of one image or of a whole data set.
        classes: C names.
        exclude_from_mean: Names of classes that are scored but not averaged.

    Returns:
        The scores.

    Source: boundary IoU: Cheng et al. 2021, arXiv:2103.16562; boundary F1: Csurka et al. 2013,
        "What is a good evaluation measure for semantic segmentation?", BMVC. Both print means
        over images; here the counts of all images are summed first, as those of mIoU are.
    """
    values = counts.astype(np.float64)
    absent = (counts[TRUE_EDGE] + counts[PREDICTED_EDGE]) == 0
    union = values[BAND_TRUTH] + values[BAND_PREDICTED] - values[BAND_BOTH]
    precision = _ratio(values[PREDICTED_EDGE_RIGHT], values[PREDICTED_EDGE], absent)
    recall = _ratio(values[TRUE_EDGE_FOUND], values[TRUE_EDGE], absent)
    excluded = np.array([name in exclude_from_mean for name in classes], dtype=bool)
    return BoundaryScores(
        classes=tuple(classes),
        counts=counts,
        iou=_ratio(values[BAND_BOTH], union, absent),
        f1=_ratio(2 * precision * recall, precision + recall, absent),
        precision=precision,
        recall=recall,
        averaged=~absent & ~excluded,
    )


def _ratio(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], absent: NDArray[np.bool_]
) -> NDArray[np.float64]:
    values = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    values[absent] = np.nan
    return values
