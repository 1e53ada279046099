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
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from numpy.typing import NDArray
from PIL import Image

from mmrs.engine.confusion import SegScores, confusion_matrix, score
from mmrs.engine.counted_metric import CountedMetric, to_numpy
from mmrs.engine.score_tables import NOTHING_TO_AVERAGE, seg_tables
from mmrs.errors import ConfigError, DataError, OutputError
from mmrs.registry import METRICS

METRIC_NAMES = ("mIoU", "mF1", "OA", "AA", "Kappa", "precision", "recall")


def check_metric_names(
    names: Sequence[str], where: str = "metrics", *, known: Sequence[str] = METRIC_NAMES
) -> tuple[str, ...]:
    """Return ``names`` as a tuple.

    Raises:
        ConfigError: A name is unknown, or there is none.
    """
    for name in names:
        if name not in known:
            lower = {other.lower(): other for other in known}
            near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
            guess = f"did you mean {lower[near[0]]!r}? " if near else ""
            raise ConfigError(
                f"unknown metric {name!r}",
                where=where,
                fix=f"{guess}choose from {', '.join(known)}",
            )
    if not names:
        raise ConfigError("no metric", where=where, fix=f"choose from {', '.join(known)}")
    return tuple(names)


def seg_values(scores: SegScores) -> dict[str, float]:
    """Every score of `METRIC_NAMES`, in percent."""
    values = {
        "mIoU": scores.mean(scores.iou),
        "mF1": scores.mean(scores.f1),
        "OA": scores.overall_accuracy,
        "AA": scores.mean(scores.recall),
        "Kappa": scores.kappa,
        "precision": scores.mean(scores.precision),
        "recall": scores.mean(scores.recall),
    }
    return {name: 100 * value for name, value in values.items()}


@METRICS.register_module()
class SegMetric(CountedMetric):
    """Scores of semantic segmentation from one int64 confusion matrix.

    Every score is in percent, not rounded. A class that is neither in the truth nor in the
    prediction is printed as absent and left out of the means, and their number is printed.
    Beside the scores stands the protocol: what was counted, how often, and what was not.
    One process and many give the same value: samples that a sampler repeats to even out the
    shards are left out.

    Args:
        score_names: Which scores to return (not ``metrics``: MMEngine takes a dict with that
            key for an evaluator), from mIoU, mF1, OA (overall accuracy), AA (mean
            recall), Kappa, precision and recall (both means over the classes).
        exclude_from_mean: Class names that are scored but not averaged.
        ignore_index: The label that does not count.
        stitch: Put windows of one scene together before they are counted, so that each pixel of
            the scene counts once: its class is that of the largest mean probability over the
            windows (of the deepest window, where the model gives no logits).
        confusion_matrix: A CSV file to write the matrix to, rows are truth.
        output_dir: A folder to write each predicted map to, as a PNG named after its image
            (``area1_x0_y0_x1_y1`` where it is a window of it), with the ids of the label files
            (one up where ``reduce_zero_label`` took one off).
        format_only: Only write the maps: for images without labels.
        prefix: Put before each score's name.

    Raises:
        ConfigError: A metric or class name is unknown; ``format_only`` without ``output_dir``.
        LabelError: A label is neither a class nor ignored.
        DataError: A label and its prediction differ in size; or windows cannot be stitched.
    """

    def __init__(
        self,
        *,
        score_names: Sequence[str] = ("mIoU",),
        exclude_from_mean: Sequence[str] = (),
        ignore_index: int = 255,
        stitch: bool = False,
        confusion_matrix: str | None = None,
        output_dir: str | None = None,
        format_only: bool = False,
        prefix: str | None = None,
    ) -> None:
        super().__init__(
            exclude_from_mean=exclude_from_mean,
            ignore_index=ignore_index,
            stitch=stitch,
            prefix=prefix,
        )
        names = [score_names] if isinstance(score_names, str) else list(score_names)
        self.score_names = check_metric_names(names, where=f"{type(self).__name__}.score_names")
        self.confusion_matrix_path = confusion_matrix
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.format_only = format_only
        self.scores: SegScores | None = None
        self._written: dict[Path, str] = {}
        if format_only and self.output_dir is None:
            raise ConfigError(
                "format_only writes maps, but output_dir is not set",
                where=f"{type(self).__name__}.output_dir",
                fix="set output_dir, or format_only=False",
            )

    def add(self, sample: dict) -> None:
        """Count one sample, or keep it for its scene; write its map where asked."""
        if self.output_dir is not None:
            path = self.output_dir / f"{_map_stem(sample)}.png"
            if path in self._written:
                raise DataError(
                    f"the maps of this and of {self._written[path]} would both be {path}",
                    where=sample["img_path"],
                    fix="name the images differently; windows need 'window' in meta_keys of "
                    "PackSegInputs",
                )
            self._written[path] = sample["img_path"]
            _save_map(to_numpy(sample["pred_sem_seg"]["data"]), sample, path)
        if not self.format_only:
            super().add(sample)

    def evaluate(self, size: int) -> dict[str, float]:
        """As `CountedMetric`; nothing where only maps were written."""
        self._written.clear()
        if self.format_only:
            print_log(f"maps are in {self.output_dir}", logger="current")
            return {}
        return super().evaluate(size)

    @property
    def count_length(self) -> int:
        """The matrix, and the number of ignored pixels."""
        return len(self.class_names) ** 2 + 1

    def count(
        self, prediction: NDArray, label: NDArray, meta: Mapping[str, Any]
    ) -> NDArray[np.int64]:
        """Confusion matrix and ignored pixels, flat."""
        try:
            matrix = confusion_matrix(
                prediction,
                label,
                num_classes=len(self.class_names),
                ignore_index=self.ignore_index,
            )
        except ValueError:
            # counting finds a label out of range for free; only now look for its pixel
            self.check_label(label, meta)
            raise
        return np.append(matrix, label.size - matrix.sum())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores of ``results``, a list of flat counts, and print the tables."""
        counts = np.sum(results, axis=0, dtype=np.int64)
        names = self.class_names
        matrix, ignored = counts[:-1].reshape(len(names), len(names)), int(counts[-1])
        scores = score(matrix, names, exclude_from_mean=self.exclude_from_mean)
        self.scores = scores
        values = seg_values(scores)
        values = {name: values[name] for name in self.score_names}
        if is_main_process():
            self._print(scores, values, ignored)
            if self.confusion_matrix_path is not None:
                save_matrix(scores, self.confusion_matrix_path)
        return values

    def protocol(self, counted: int, ignored: int) -> str:
        """How the scores came about, in one line.

        Args:
            counted: Pixels that were counted.
            ignored: Pixels that were not.
        """
        return f"{self.overlap_rule}; {self.ignored_told(counted, ignored)}"

    def ignored_told(self, counted: int, ignored: int) -> str:
        """How many pixels were not counted, and which are among them."""
        told = ignored_share(counted, ignored)
        return f"{told}, those among them that another window counts" if self.parts_only else told

    def _print(self, scores: SegScores, values: Mapping[str, float], ignored: int) -> None:
        logger = MMLogger.get_current_instance()
        for text in seg_tables(scores, values):
            print_log(text, logger=logger)
        counted = int(scores.matrix.sum())
        print_log(f"protocol: {self.protocol(counted, ignored)}", logger=logger)
        if not scores.averaged.any():
            print_log(NOTHING_TO_AVERAGE, logger=logger, level=logging.WARNING)


def ignored_share(counted: int, ignored: int) -> str:
    """``12 of 100 pixels ignored (12.00 %)``."""
    total = counted + ignored
    return f"{ignored} of {total} pixels ignored ({100 * ignored / max(total, 1):.2f} %)"


def _map_stem(sample: Mapping[str, Any]) -> str:
    """Of the image; of a window, with its columns and rows, as `scene_window` reads them."""
    stem = Path(sample["img_path"]).stem
    if sample.get("window") is None:
        return stem
    row, col, height, width = (int(value) for value in sample["window"])
    return f"{stem}_{col}_{row}_{col + width}_{row + height}"


def _save_map(predicted: NDArray, sample: dict, path: Path) -> None:
    ids = predicted + 1 if sample.get("reduce_zero_label", False) else predicted
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids.astype(np.uint8)).save(path)
    except OSError as error:
        raise OutputError(
            f"cannot write ({error.strerror})", where=path, fix="choose another --out"
        ) from error


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
