"""What hooks share that measure features on a labelled set while a model is pre-trained."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmengine.dataset import default_collate
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import DATASETS as ROOT_DATASETS
from torch import Tensor
from torch.utils.data import DataLoader

from mmrs.engine.frozen_features import frozen_features
from mmrs.engine.hook_option import check_hook_option
from mmrs.errors import ConfigError, DataError
from mmrs.ops.wilson import wilson_interval


class LabelledSetHook(Hook):
    """Frozen features of a labelled set -> an accuracy with its interval, at intervals.

    The first process measures alone: running statistics of BatchNorm differ between processes,
    and checkpoints hold its own. The training run is not changed by it (`undisturbed`).

    What is found is a line in the log, scalars ``val/<name>``, ``val/<name>_low`` and
    ``val/<name>_high`` (per cent) of the message hub, and a line of MMEngine's scalars file.

    Args:
        dataset: Config of the set; a sample is a picture and ``gt_label``, such as those of
            `mmrs.SceneFoldersDataset`. Its ``metainfo`` has ``classes``.
        interval: Steps from one measurement to the next; the last step always has one.
        at_start: Measure before the first step too: what an encoder is worth that learned nothing.
        batch_size: Pictures at a time.
        num_workers: Processes that read them.
        confidence: Of the interval.

    Raises:
        ConfigError: A number is out of range.
    """

    name = "accuracy"

    def __init__(
        self,
        *,
        dataset: dict,
        interval: int = 1000,
        at_start: bool = True,
        batch_size: int = 32,
        num_workers: int = 0,
        confidence: float = 0.95,
    ) -> None:
        hook = type(self).__name__
        check_hook_option(hook, "interval", interval, interval >= 1, ">= 1")
        check_hook_option(hook, "batch_size", batch_size, batch_size >= 1, ">= 1")
        check_hook_option(hook, "num_workers", num_workers, num_workers >= 0, ">= 0")
        check_hook_option(hook, "confidence", confidence, 0 < confidence < 1, "in (0, 1)")
        self.dataset = dataset
        self.interval = interval
        self.at_start = at_start
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.confidence = confidence
        self.loader: Any = None
        self._measured_at: int | None = None

    def told(self, features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
        """The class of each sample, told without its label: (N, D), (N,) -> (N,) int64."""
        raise NotImplementedError

    # when -----------------------------------------------------------------------------------------

    def before_train(self, runner: Any) -> None:
        """Open the set, so that what is wrong with it is told before the first step.

        Raises:
            DataError: It has a single class, or a class of a single picture.
        """
        if is_main_process():
            self.loader = self._open()
        if self.at_start and runner.iter == 0:
            self.measure(runner, 0)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Measure where it is time."""
        if self.every_n_train_iters(runner, self.interval):
            self.measure(runner, runner.iter + 1)

    def after_train(self, runner: Any) -> None:
        """Measure the last weights."""
        if self._measured_at != runner.iter:
            self.measure(runner, runner.iter)

    # what -----------------------------------------------------------------------------------------

    def measure(self, runner: Any, step: int) -> None:
        """Measure and log; the other processes wait at the gradients of the next step."""
        self._measured_at = step
        if is_main_process():
            features, labels = frozen_features(runner.model, self.loader)
            self._log(runner, step, features, labels)

    def _log(self, runner: Any, step: int, features: Tensor, labels: Tensor) -> None:
        classes = self.loader.dataset.metainfo["classes"]
        if not features.isfinite().all():
            # whether a run ends where its loss is not finite is not for its monitor to say
            print_log(
                f"{self.name} after {step} steps: not measured, features are not finite",
                "current",
                logging.WARNING,
            )
            return
        correct = int((self.told(features, labels, len(classes)) == labels).sum())
        total = len(labels)
        low, high = wilson_interval(correct, total, confidence=self.confidence)
        most = max(Counter(labels.tolist()).values())
        values = {
            self.name: 100 * correct / total,
            f"{self.name}_low": 100 * low,
            f"{self.name}_high": 100 * high,
        }
        print_log(
            f"{self.name} after {step} steps: {values[self.name]:.1f} % of {total} pictures "
            f"({100 * self.confidence:g} % interval {100 * low:.1f} to {100 * high:.1f}); "
            f"{len(classes)} classes, the largest has {100 * most / total:.1f} %",
            "current",
        )
        self._publish(runner, step, values)

    def _publish(self, runner: Any, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            runner.message_hub.update_scalar(f"val/{key}", value)
        # as MMEngine's LoggerHook writes the scores of a validation
        file_path = f"{runner.timestamp}.json"
        runner.visualizer.add_scalars(dict(values), step=step, file_path=file_path)

    def _open(self) -> DataLoader:
        dataset = ROOT_DATASETS.build(self.dataset)
        if not getattr(dataset, "metainfo", {}).get("classes"):
            raise ConfigError(
                f"{type(dataset).__name__} names no classes",
                where=f"{type(self).__name__}.dataset",
                fix="use mmrs.SceneFoldersDataset, or give metainfo=dict(classes=(...))",
            )
        _check_classes(dataset)
        # no sampler of MMEngine's: they give each process its share, and this one needs all
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=default_collate,
        )


def _check_classes(dataset: Any) -> None:
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    counts = Counter(int(info["gt_label"]) for info in infos if "gt_label" in info)
    lone = sorted(label for label, count in counts.items() if count < 2)
    names = dataset.metainfo["classes"]
    unnamed = [label for label in counts if not 0 <= label < len(names)]
    if unnamed:
        raise DataError(
            f"a picture has gt_label {unnamed[0]}, but classes names {len(names)}",
            where=getattr(dataset, "data_root", None),
            fix="name all classes in metainfo",
        )
    if len(counts) < 2 or lone:
        what = f"{len(counts)} class" if not lone else f"a single picture of {names[lone[0]]!r}"
        raise DataError(
            f"{what} in {len(infos)} pictures: nothing can be told from the others",
            where=getattr(dataset, "data_root", None),
            fix="take two classes and two pictures of each at least",
        )
