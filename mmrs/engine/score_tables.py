"""Scores as people read them: tables, and what was left out of the means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from prettytable import PrettyTable

from mmrs.engine.boundary import PREDICTED_EDGE, TRUE_EDGE, BoundaryScores
from mmrs.engine.confusion import SegScores

NOTHING_TO_AVERAGE = (
    "no class is left to average: the scores are NaN and this model cannot become the best one"
)


def seg_tables(scores: SegScores, values: Mapping[str, float]) -> list[str]:
    """Table of the classes and their mean, of the scores asked for, and what was left out.

    Args:
        scores: Of a confusion matrix.
        values: Name -> value in percent.
    """
    columns = {
        "IoU": scores.iou,
        "F1": scores.f1,
        "precision": scores.precision,
        "recall": scores.recall,
    }
    pixels = {"pixels": scores.matrix.sum(1)}
    table = _class_table(scores, columns, pixels)
    return [
        f"per class, in percent:\n{table}",
        f"overall, in percent:\n{_value_table(values)}",
        *_left_out(scores),
    ]


def boundary_tables(scores: BoundaryScores, values: Mapping[str, float]) -> list[str]:
    """As `seg_tables`, for boundaries.

    Args:
        scores: Of boundary counts.
        values: Name -> value in percent.
    """
    columns = {
        "boundary IoU": scores.iou,
        "boundary F1": scores.f1,
        "precision": scores.precision,
        "recall": scores.recall,
    }
    edges = {"true edge px": scores.counts[TRUE_EDGE], "predicted": scores.counts[PREDICTED_EDGE]}
    table = _class_table(scores, columns, edges)
    return [
        f"boundaries per class, in percent:\n{table}",
        f"boundaries overall, in percent:\n{_value_table(values)}",
        *_left_out(scores),
    ]


def _class_table(
    scores: SegScores | BoundaryScores,
    columns: Mapping[str, NDArray[np.float64]],
    counts: Mapping[str, NDArray[np.int64]],
) -> str:
    table = PrettyTable(["class", *columns, *counts])
    table.align = "r"
    table.align["class"] = "l"
    for index, name in enumerate(scores.classes):
        numbers = [int(values[index]) for values in counts.values()]
        if scores.absent[index]:
            table.add_row([name, *["absent"] * len(columns), *numbers])
            continue
        note = "" if scores.averaged[index] else " (not in the mean)"
        shares = [f"{100 * values[index]:.2f}" for values in columns.values()]
        table.add_row([name + note, *shares, *numbers])
    means = [f"{100 * scores.mean(values):.2f}" for values in columns.values()]
    table.add_row(["mean", *means, *[""] * len(counts)])
    return table.get_string()


def _value_table(values: Mapping[str, float]) -> str:
    table = PrettyTable(list(values))
    table.add_row([f"{value:.2f}" for value in values.values()])
    return table.get_string()


def _left_out(scores: SegScores | BoundaryScores) -> Sequence[str]:
    left_out = [n for n, used in zip(scores.classes, scores.averaged, strict=True) if not used]
    if not left_out:
        return []
    return [
        f"means are over {int(scores.averaged.sum())} of {len(scores.classes)} classes; "
        f"{len(left_out)} left out: {', '.join(left_out)}"
    ]
