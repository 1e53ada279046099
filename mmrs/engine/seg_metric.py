"""The metric of a run: one exact confusion matrix, every score from it."""

from __future__ import annotations

import csv
import difflib
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from numpy.typing import NDArray
from PIL import Image
from prettytable import PrettyTable

from mmrs.engine.confusion import SegScores, confusion_matrix, score
from mmrs.errors import ConfigError, DataError, OutputError
from mmrs.label_check import check_labels
from mmrs.registry import METRICS

METRIC_NAMES = ("mIoU", "mF1", "OA", "AA", "Kappa", "precision", "recall")


def check_metric_names(names: Sequence[str], where: str = "metrics") -> tuple[str, ...]:
    """Return ``names`` as a tuple.

    Raises:
        ConfigError: A name is unknown, or there is none.
    """
    for name in names:
        if name not in METRIC_NAMES:
            lower = {known.lower(): known for known in METRIC_NAMES}
            near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
            guess = f"did you mean {lower[near[0]]!r}? " if near else ""
            raise ConfigError(
                f"unknown metric {name!r}",
                where=where,
                fix=f"{guess}choose from {', '.join(METRIC_NAMES)}",
            )
    if not names:
        raise ConfigError("no metric", where=where, fix=f"choose from {', '.join(METRIC_NAMES)}")
    return tuple(names)


@METRICS.register_module()
class SegMetric(BaseMetric):
    """Scores of semantic segmentation from one int64 confusion matrix.

    Every score is in percent, not rounded. A class that is neither in the truth nor in the
    prediction is printed as absent and left out of the means, and their number is printed.
    One process and many give the same value: samples that a sampler repeats to even out the
    shards are left out.

    Args:
        score_names: Which scores to return (not ``metrics``: MMEngine takes a dict with that
            key for an evaluator), from mIoU, mF1, OA (overall accuracy), AA (mean
            recall), Kappa, precision and recall (both means over the classes).
        exclude_from_mean: Class names that are scored but not averaged.
        ignore_index: The label that does not count.
        confusion_matrix: A CSV file to write the matrix to, rows are truth.
        output_dir: A folder to write each predicted map to, as a PNG named after its image,
            with the ids of the label files (one up where ``reduce_zero_label`` took one off).
        format_only: Only write the maps: for images without labels.
        prefix: Put before each score's name.

    Raises:
        ConfigError: A metric or class name is unknown; ``format_only`` without ``output_dir``.
        LabelError: A label is neither a class nor ignored.
        DataError: A label and its prediction differ in size.
    """

    default_prefix = ""

    def __init__(
        self,
        *,
        score_names: Sequence[str] = ("mIoU",),
        exclude_from_mean: Sequence[str] = (),
        ignore_index: int = 255,
        confusion_matrix: str | None = None,
        output_dir: str | None = None,
        format_only: bool = False,
        prefix: str | None = None,
    ) -> None:
        # BaseMetric warns where there is neither a prefix nor a default one
        super().__init__(prefix=prefix)
        names = [score_names] if isinstance(score_names, str) else list(score_names)
        self.score_names = check_metric_names(names, where="SegMetric.score_names")
        self.exclude_from_mean = tuple(exclude_from_mean)
        self.ignore_index = ignore_index
        self.confusion_matrix_path = confusion_matrix
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.format_only = format_only
        self.scores: SegScores | None = None
        if format_only and self.output_dir is None:
            raise ConfigError(
                "format_only writes maps, but output_dir is not set",
                where="SegMetric.output_dir",
                fix="set output_dir, or format_only=False",
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count one batch of predictions; write their maps where asked."""
        for sample in data_samples:
            predicted = _to_numpy(sample["pred_sem_seg"]["data"])
            if self.output_dir is not None:
                _save_map(predicted, sample, self.output_dir)
            if self.format_only:
                self.results.append(None)
            else:
                self.results.append(self._count(predicted, sample))

    def _count(self, predicted: NDArray, sample: dict) -> tuple[NDArray, NDArray]:
        """Return the confusion matrix of one sample as (flat index, count) of its nonzeros."""
        where = sample.get("seg_map_path") or sample.get("img_path")
        if "gt_sem_seg" not in sample:
            raise DataError(
                "no label to evaluate against",
                where=where,
                fix="put LoadAnnotations into the pipeline, or set format_only=True",
            )
        label = _to_numpy(sample["gt_sem_seg"]["data"])
        if label.shape != predicted.shape:
            raise DataError(
                f"label is {label.shape[0]} x {label.shape[1]} but the prediction for "
                f"{sample.get('img_path')} is {predicted.shape[0]} x {predicted.shape[1]}",
                where=where,
                fix="give image and label the same size",
            )
        num_classes = len(self._class_names())
        try:
            matrix = confusion_matrix(
                predicted, label, num_classes=num_classes, ignore_index=self.ignore_index
            ).ravel()
        except ValueError:
            # counting finds a label out of range for free; only now look for its pixel
            check_labels(
                label,
                num_classes=num_classes,
                ignore_index=self.ignore_index,
                where=where,
                reduce_zero_label=sample.get("reduce_zero_label"),
            )
            raise
        index = np.flatnonzero(matrix)
        return index, matrix[index]

    def evaluate(self, size: int) -> dict[str, float]:
        """Reduce the counts of all processes and return the scores.

        Overrides BaseMetric's collection, which drops the tail of uneven shards.

        Args:
            size: Number of samples of the data set; what samplers add beyond it is left out.

        Returns:
            The scores in percent, the same in every process.
        """
        rank, world_size = get_dist_info()
        # the k-th sample of a process is number k * world_size + rank (DefaultSampler)
        mine = self.results[: max(0, -(-(size - rank) // world_size))]
        self.results.clear()
        if self.format_only:
            print_log(f"maps are in {self.output_dir}", logger="current")
            return {}
        num_classes = len(self._class_names())
        total = torch.zeros(num_classes * num_classes, dtype=torch.int64)
        for index, count in mine:
            total[torch.from_numpy(index)] += torch.from_numpy(count)
        all_reduce(total)
        values = self.compute_metrics([total.numpy().reshape(num_classes, num_classes)])
        return {f"{self.prefix}/{k}" if self.prefix else k: v for k, v in values.items()}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores of ``results``, a list of (C, C) matrices, and print the table."""
        matrix = np.sum(results, axis=0, dtype=np.int64)
        scores = score(matrix, self._class_names(), exclude_from_mean=self.exclude_from_mean)
        self.scores = scores
        all_values = {
            "mIoU": scores.mean(scores.iou),
            "mF1": scores.mean(scores.f1),
            "OA": scores.overall_accuracy,
            "AA": scores.mean(scores.recall),
            "Kappa": scores.kappa,
            "precision": scores.mean(scores.precision),
            "recall": scores.mean(scores.recall),
        }
        values = {name: 100 * all_values[name] for name in self.score_names}
        if is_main_process():
            _print_table(scores, values)
            if self.confusion_matrix_path is not None:
                save_matrix(scores, self.confusion_matrix_path)
        return values

    def _class_names(self) -> tuple[str, ...]:
        classes = (self.dataset_meta or {}).get("classes")
        if not classes:
            raise ConfigError(
                "the data set names no classes",
                where="test_dataloader.dataset.metainfo",
                fix="set metainfo=dict(classes=(...), palette=[...])",
            )
        for name in self.exclude_from_mean:
            if name not in classes:
                raise ConfigError(
                    f"{name!r} is not a class",
                    where="SegMetric.exclude_from_mean",
                    fix=f"choose from {', '.join(classes)}",
                )
        return tuple(classes)


def _to_numpy(data: torch.Tensor | NDArray) -> NDArray:
    """(1, H, W) or (H, W) tensor on any device -> (H, W) array."""
    array = data.detach().cpu().numpy() if isinstance(data, torch.Tensor) else np.asarray(data)
    return array[0] if array.ndim == 3 else array


def _save_map(predicted: NDArray, sample: dict, folder: Path) -> None:
    ids = predicted + 1 if sample.get("reduce_zero_label", False) else predicted
    path = folder / f"{Path(sample['img_path']).stem}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids.astype(np.uint8)).save(path)
    except OSError as error:
        raise OutputError(
            f"cannot write ({error.strerror})", where=path, fix="choose another --out"
        ) from error


def _print_table(scores: SegScores, values: Mapping[str, float]) -> None:
    """Log the classes, their mean, and the scores asked for, with what was left out of the mean."""
    table = PrettyTable(["class", "IoU", "F1", "precision", "recall", "pixels"])
    table.align = "r"
    table.align["class"] = "l"
    columns = (scores.iou, scores.f1, scores.precision, scores.recall)
    for index, name in enumerate(scores.classes):
        pixels = int(scores.matrix[index].sum())
        if scores.absent[index]:
            table.add_row([name, *["absent"] * 4, pixels])
            continue
        note = "" if scores.averaged[index] else " (not in the mean)"
        table.add_row([name + note, *(f"{100 * c[index]:.2f}" for c in columns), pixels])
    table.add_row(["mean", *(f"{100 * scores.mean(c):.2f}" for c in columns), ""])
    logger = MMLogger.get_current_instance()
    print_log(f"per class, in percent:\n{table.get_string()}", logger=logger)
    overall = PrettyTable(list(values))
    overall.add_row([f"{value:.2f}" for value in values.values()])
    print_log(f"overall, in percent:\n{overall.get_string()}", logger=logger)
    left_out = [n for n, used in zip(scores.classes, scores.averaged, strict=True) if not used]
    if left_out:
        print_log(
            f"means are over {int(scores.averaged.sum())} of {len(scores.classes)} classes; "
            f"{len(left_out)} left out: {', '.join(left_out)}",
            logger=logger,
        )
    if not scores.averaged.any():
        print_log(
            "no class is left to average: the scores are NaN and this model cannot become the "
            "best one",
            logger=logger,
            level=logging.WARNING,
        )


def save_matrix(scores: SegScores, path: str | Path) -> None:
    """Write the confusion matrix as CSV: rows are truth, columns are prediction, in pixels.

    Raises:
        OutputError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["truth \\ prediction", *scores.classes])
    for name, row in zip(scores.classes, scores.matrix.tolist(), strict=True):
        writer.writerow([name, *row])
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write ({error.strerror})", where=path, fix="choose another --confusion-matrix"
        ) from error
