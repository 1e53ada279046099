"""Scores of the demo's methods side by side, and the promise that the network keeps or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from mmrs.apis.demo.demo_data import CLASSES, train_ids
from mmrs.engine.confusion import SegScores, confusion_matrix, score
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.raster import Raster

Pixels = NDArray[np.uint8]

REQUIRED_MARGIN = 10.0  # points of mIoU over the better baseline


@dataclass(frozen=True)
class Column:
    """One method's scores on one set of pixels.

    Attributes:
        title: Of the method.
        scores: What it reached.
    """

    title: str
    scores: SegScores

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur, in percent."""
        return 100 * self.scores.mean(self.scores.iou)


def read_tile(image: Path, mask: Path) -> tuple[Pixels, Pixels]:
    """An RGB image (H, W, 3) and its class indices (H, W), 255 = nodata."""
    rgb = cv2.imread(str(image), cv2.IMREAD_COLOR)[..., ::-1]
    return rgb, train_ids(cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE))


def score_tiles(
    title: str, predict: Callable[[Pixels], Pixels], tiles: Iterable[tuple[Pixels, Pixels]]
) -> Column:
    """Score a method over tiles, all pixels in one confusion matrix."""
    matrix = sum(
        (_confusion(predict(image), labels) for image, labels in tiles),
        np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64),
    )
    return Column(title, score(matrix, CLASSES))


def score_map(title: str, class_map: Path, truth: Path) -> Column:
    """Score a predicted class map against the true one."""
    with Raster(class_map) as predicted, Raster(truth) as true:
        labels = true.read()[..., 0]
        return Column(title, score(_confusion(predicted.read()[..., 0], labels), CLASSES))


def table(title: str, columns: Sequence[Column]) -> Table:
    """IoU of every class and their mean, in percent, one column a method."""
    page = Table(title=title, title_justify="left", title_style="bold")
    page.add_column("IoU, %")
    for column in columns:
        page.add_column(column.title, justify="right")
    for index, name in enumerate(CLASSES):
        values = [column.scores.iou[index] for column in columns]
        cells = ["absent" if np.isnan(value) else f"{100 * value:.1f}" for value in values]
        page.add_row(name, *cells, end_section=index == len(CLASSES) - 1)
    page.add_row("mean IoU", *(f"{column.miou:.1f}" for column in columns), style="bold")
    accuracies = (100 * column.scores.overall_accuracy for column in columns)
    page.add_row("pixels right", *(f"{accuracy:.1f}" for accuracy in accuracies))
    return page


def margin(network: Column, baselines: Sequence[Column]) -> float:
    """Points of mIoU between the network and the better baseline."""
    return network.miou - max(column.miou for column in baselines)


def as_json(columns: Sequence[Column]) -> dict[str, Any]:
    """The same numbers for a file, in percent; an absent class is null."""
    return {
        column.title: {
            "miou": round(column.miou, 2),
            "accuracy": round(100 * column.scores.overall_accuracy, 2),
            "iou": {
                name: None if np.isnan(value) else round(100 * float(value), 2)
                for name, value in zip(CLASSES, column.scores.iou, strict=True)
            },
        }
        for column in columns
    }


def _confusion(prediction: Pixels, labels: Pixels) -> NDArray[np.int64]:
    # nodata is not predicted; there it is not counted either, so any class will do
    prediction = np.where(labels == NODATA_LABEL, 0, prediction).astype(np.uint8)
    return confusion_matrix(prediction, labels, num_classes=len(CLASSES))
