"""Confusion matrices that stay exact, and the scores that follow from them.

``torch.histc`` counts in float32 and stops at 2**24 equal pixels; everything here is int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# (label << 4 | prediction) in a byte leaves 14 classes: row 15 takes what is ignored
_MAX_PACKED_CLASSES = 14
# cv2.calcHist returns float32 (a column in OpenCV 4, flat in 5), exact up to this count
_EXACT_FLOAT32 = 2**24


def confusion_matrix(
    prediction: NDArray, label: NDArray, *, num_classes: int, ignore_index: int = 255
) -> NDArray[np.int64]:
    """Count the pixels of every (true class, predicted class) pair.

    Args:
        prediction: Integers in 0 .. num_classes - 1, any shape.
        label: Integers of the same shape; ``ignore_index`` is not counted.
        num_classes: Number of classes.
        ignore_index: The label that does not count.

    Returns:
        (num_classes, num_classes) int64, rows are truth, columns are prediction.

    Raises:
        ValueError: The shapes differ, or an id is out of range.
    """
    if prediction.shape != label.shape:
        raise ValueError(
            f"prediction and label must have one shape, got {prediction.shape} and {label.shape}"
        )
    if prediction.size == 0:
        return np.zeros((num_classes, num_classes), dtype=np.int64)
    highest = _unsigned_max(prediction)
    if highest >= num_classes:
        wrong = prediction[(prediction < 0) | (prediction >= num_classes)][0]
        raise ValueError(f"prediction must be in 0..{num_classes - 1}, got {wrong}")
    if num_classes <= _MAX_PACKED_CLASSES and _unsigned_max(label) <= 255:
        matrix = _count_packed(prediction, label, num_classes, ignore_index)
    else:
        matrix = _count_general(prediction, label, num_classes, ignore_index)
    if matrix is None:
        raise ValueError(
            f"label must be in 0..{num_classes - 1} or {ignore_index}, "
            f"found {label.min()}..{label.max()}"
        )
    return matrix


def _unsigned_max(array: NDArray) -> int:
    """Highest value with negatives read as huge: one pass tells both ends of a range."""
    return int(np.ascontiguousarray(array).view(f"u{array.itemsize}").max())


def _count_packed(
    prediction: NDArray, label: NDArray, num_classes: int, ignore_index: int
) -> NDArray[np.int64] | None:
    """Count with one byte a pixel; None where a label is out of range."""
    table = np.full(256, _MAX_PACKED_CLASSES << 4, dtype=np.uint8)
    table[:num_classes] = np.arange(num_classes, dtype=np.uint8) << 4
    if 0 <= ignore_index <= 255:
        table[ignore_index] = 15 << 4
    packed = cv2.LUT(label.reshape(1, -1).astype(np.uint8, copy=False), table)
    columns = prediction.reshape(1, -1).astype(np.uint8, copy=False)
    packed = cv2.bitwise_or(packed, columns, dst=packed)
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, packed.shape[1], _EXACT_FLOAT32):
        chunk = packed[:, start : start + _EXACT_FLOAT32]
        counts += cv2.calcHist([chunk], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    rows = counts.reshape(16, 16)
    if rows[_MAX_PACKED_CLASSES].any():
        return None
    return rows[:num_classes, :num_classes].copy()


def _count_general(
    prediction: NDArray, label: NDArray, num_classes: int, ignore_index: int
) -> NDArray[np.int64] | None:
    """Count any number of classes and any ids; None where a label is out of range."""
    valid = label != ignore_index
    truth = label[valid].astype(np.int64)
    if truth.size and (truth.min() < 0 or truth.max() >= num_classes):
        return None
    pairs = truth * num_classes + prediction[valid]
    counts = np.bincount(pairs, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes).astype(np.int64, copy=False)


@dataclass(frozen=True)
class SegScores:
    """Scores of one confusion matrix, as fractions; per class and their means.

    A class that occurs neither in the truth nor in the prediction is *absent*: NaN here, and
    left out of every mean.  A class that occurs in only one of them scores 0 wherever its
    formula has nothing to divide by (torchmetrics' rule for macro averages).

    Attributes:
        classes: Names, in id order.
        matrix: (C, C) int64, rows are truth.
        iou: (C,) TP / (TP + FP + FN).
        f1: (C,) 2 TP / (2 TP + FP + FN).
        precision: (C,) TP / (TP + FP).
        recall: (C,) TP / (TP + FN).
        averaged: (C,) bool, the classes that the means are over.
        overall_accuracy: Share of counted pixels that are right.
        kappa: Cohen's kappa of all counted pixels.
    """

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]
    iou: NDArray[np.float64]
    f1: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    averaged: NDArray[np.bool_]
    overall_accuracy: float
    kappa: float

    @property
    def absent(self) -> NDArray[np.bool_]:
        """(C,) bool: neither true nor predicted anywhere."""
        return (self.matrix.sum(0) + self.matrix.sum(1)) == 0

    def mean(self, values: NDArray[np.float64]) -> float:
        """Mean of ``values`` (C,) over the averaged classes; NaN where there is none."""
        return float(values[self.averaged].mean()) if self.averaged.any() else float("nan")


def score(
    matrix: NDArray[np.int64], classes: Sequence[str], *, exclude_from_mean: Sequence[str] = ()
) -> SegScores:
    """Compute every score of a confusion matrix.

    Args:
        matrix: (C, C) int64, rows are truth, columns are prediction.
        classes: C names.
        exclude_from_mean: Names of classes that are scored but not averaged, such as clutter.

    Returns:
        The scores.
    """
    true_positive = np.diag(matrix).astype(np.float64)
    truth, predicted = matrix.sum(1), matrix.sum(0)
    absent = (truth + predicted) == 0
    excluded = np.array([name in exclude_from_mean for name in classes], dtype=bool)
    total = int(matrix.sum())
    agreement = float(true_positive.sum() / total) if total else float("nan")
    # float64 before the product: counts of 2**32 overflow int64 when multiplied
    chance = (
        float((truth.astype(np.float64) / total) @ (predicted.astype(np.float64) / total))
        if total
        else float("nan")
    )
    return SegScores(
        classes=tuple(classes),
        matrix=matrix,
        iou=_ratio(true_positive, truth + predicted - true_positive, absent),
        f1=_ratio(2 * true_positive, truth + predicted, absent),
        precision=_ratio(true_positive, predicted, absent),
        recall=_ratio(true_positive, truth, absent),
        averaged=~absent & ~excluded,
        overall_accuracy=agreement,
        # one class alone, all right: agreement and chance are both 1, and 0 / 0 is no kappa
        kappa=(agreement - chance) / (1 - chance) if chance < 1 else float("nan"),
    )


def _ratio(
    numerator: NDArray[np.float64], denominator: NDArray, absent: NDArray[np.bool_]
) -> NDArray[np.float64]:
    values = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    values[absent] = np.nan
    return values
