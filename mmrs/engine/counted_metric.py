"""What mmrs' metrics share: whole numbers counted sample by sample, or scene by scene, and summed.

One process and many give the same counts, to the last one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from mmrs.engine.scene_exchange import SceneExchange
from mmrs.engine.scene_stitcher import Scene, SceneStitcher
from mmrs.engine.scene_window import scene_window
from mmrs.errors import ConfigError, DataError
from mmrs.label_check import check_labels


class CountedMetric(BaseMetric):
    """Counts of every sample, summed over the data set and all processes.

    Samples that a sampler repeats to even out the shards are left out.

    A subclass gives ``count``, ``count_length`` and ``compute_metrics``.

    Args:
        exclude_from_mean: Class names that are scored but not averaged.
        ignore_index: The label that does not count.
        stitch: Put windows of one scene together before they are counted, so that a pixel that
            several windows show counts once: see `mmrs.engine.scene_stitcher`.
        prefix: Put before each score's name.

    Raises:
        LabelError: A label is neither a class nor ignored.
        DataError: A label is missing, or it and its prediction differ in size; or the windows of
            a scene cannot be put together.
    """

    default_prefix = ""

    def __init__(
        self,
        *,
        exclude_from_mean: Sequence[str] = (),
        ignore_index: int = 255,
        stitch: bool = False,
        prefix: str | None = None,
    ) -> None:
        # BaseMetric warns where there is neither a prefix nor a default one
        super().__init__(prefix=prefix)
        names = [exclude_from_mean] if isinstance(exclude_from_mean, str) else exclude_from_mean
        self.exclude_from_mean = tuple(names)
        self.ignore_index = ignore_index
        self.stitch = stitch
        self._windows: _Windows | None = None

    @abstractmethod
    def count(
        self, prediction: NDArray, label: NDArray, meta: Mapping[str, Any]
    ) -> NDArray[np.int64]:
        """Counts of one image or scene, flat, int64; they add up.

        Args:
            prediction: (H, W) ids.
            label: (H, W) ids of the same size, or ``ignore_index``.
            meta: Of the sample, or of the first sample of a scene.
        """

    @property
    @abstractmethod
    def count_length(self) -> int:
        """How many numbers ``count`` gives."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count one batch of predictions."""
        for sample in data_samples:
            self.add(sample)

    def add(self, sample: dict) -> None:
        """Count one sample, or keep it for its scene."""
        prediction, label = self._read(sample)
        if not self.stitch:
            self.results.append(_sparse(self.count(prediction, label, sample)))
            return
        if self._windows is None:
            self._windows = _Windows(self)
        self._windows.add(sample, prediction, label)

    def evaluate(self, size: int) -> dict[str, float]:
        """Reduce the counts of all processes and return the scores.

        Overrides BaseMetric's collection, which drops the tail of uneven shards.

        Args:
            size: Number of samples of the data set; what samplers add beyond it is left out.

        Returns:
            The scores, the same in every process.
        """
        rank, world_size = get_dist_info()
        # the k-th sample of a process is number k * world_size + rank (DefaultSampler)
        expected = max(0, -(-(size - rank) // world_size))
        if self.stitch:
            windows, self._windows = self._windows or _Windows(self), None
            windows.finish(expected)
            mine = list(self.results)  # one a scene
        else:
            mine = self.results[:expected]
        self.results.clear()
        total = torch.zeros(self.count_length, dtype=torch.int64)
        for index, count in mine:
            total[torch.from_numpy(index)] += torch.from_numpy(count)
        all_reduce(total)
        values = self.compute_metrics([total.numpy()])
        return {f"{self.prefix}/{k}" if self.prefix else k: v for k, v in values.items()}

    @property
    def parts_only(self) -> bool:
        """Whether windows ignore what another one counts (``count_once`` of a raster data set)."""
        return bool((self.dataset_meta or {}).get("count_once")) and not self.stitch

    @property
    def overlap_rule(self) -> str:
        """How often a pixel counts that several windows show, in words."""
        if self.stitch:
            return "windows stitched, every pixel of a scene counted once"
        if self.parts_only:
            return "every pixel of a scene counted once, in the window in whose middle it lies more"
        return "every sample counted as it is, pixels that several samples show as often"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the data set."""
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
                    where=f"{type(self).__name__}.exclude_from_mean",
                    fix=f"choose from {', '.join(classes)}",
                )
        return tuple(classes)

    def check_label(self, label: NDArray, meta: Mapping[str, Any]) -> None:
        """Raise where a label holds an id that is no class.

        Raises:
            LabelError: With the file and the pixel.
        """
        check_labels(
            label,
            num_classes=len(self.class_names),
            ignore_index=self.ignore_index,
            where=file_of(meta),
            reduce_zero_label=meta.get("reduce_zero_label"),
        )

    def _read(self, sample: dict) -> tuple[NDArray, NDArray]:
        predicted = to_numpy(sample["pred_sem_seg"]["data"])
        if "gt_sem_seg" not in sample:
            raise DataError(
                "no label to evaluate against",
                where=file_of(sample),
                fix="put LoadAnnotations into the pipeline, or set format_only=True",
            )
        label = to_numpy(sample["gt_sem_seg"]["data"])
        if label.shape != predicted.shape:
            raise DataError(
                f"label is {label.shape[0]} x {label.shape[1]} but the prediction for "
                f"{sample.get('img_path')} is {predicted.shape[0]} x {predicted.shape[1]}",
                where=file_of(sample),
                fix="give image and label the same size",
            )
        return predicted, label


class _Windows:
    """Windows on their way to scenes, in one process or many.

    The last sample is held back: a sampler may have repeated it to even out the shards.
    """

    def __init__(self, metric: CountedMetric) -> None:
        self._metric = metric
        self._held: tuple[dict, NDArray, NDArray] | None = None
        self._taken = 0
        _, world_size = get_dist_info()
        self._exchange = SceneExchange() if world_size > 1 else None
        self._stitcher = SceneStitcher(
            num_classes=len(metric.class_names),
            ignore_index=metric.ignore_index,
            on_complete=self._count if self._exchange is None else self._exchange.keep,
        )

    def add(self, sample: dict, prediction: NDArray, label: NDArray) -> None:
        self._take_held()
        self._held = (sample, prediction, label)

    def finish(self, expected: int) -> None:
        """Count what is left.

        Args:
            expected: Samples of the data set that are this process's.
        """
        if self._taken < expected:
            self._take_held()
        self._stitcher.finish()
        if self._taken > expected:
            raise DataError(
                f"{self._taken} samples came, {expected} were expected: the sampler repeats some",
                fix="use DefaultSampler(shuffle=False), or leave stitch out",
            )
        if self._exchange is not None:
            self._exchange.merge(self._count)

    def _take_held(self) -> None:
        if self._held is None:
            return
        (sample, prediction, label), self._held = self._held, None
        self._taken += 1
        self._metric.check_label(label, sample)
        keys = ("img_path", "seg_map_path", "reduce_zero_label", "gsd_m")
        meta = {key: sample[key] for key in keys if key in sample}
        self._stitcher.add(
            scene_window(sample, label.shape),
            prediction,
            label,
            _class_logits(sample, len(self._metric.class_names)),
            {**meta, "where": file_of(sample)},
        )

    def _count(self, scene: Scene) -> None:
        prediction, label = scene.result(self._metric.ignore_index)
        self._metric.results.append(_sparse(self._metric.count(prediction, label, scene.meta)))


def file_of(meta: Mapping[str, Any]) -> str | None:
    """The file that an error about a sample names."""
    return meta.get("where") or meta.get("seg_map_path") or meta.get("img_path")


def to_numpy(data: torch.Tensor | NDArray) -> NDArray:
    """(1, H, W) or (H, W) tensor on any device -> (H, W) array."""
    array = data.detach().cpu().numpy() if isinstance(data, torch.Tensor) else np.asarray(data)
    return array[0] if array.ndim == 3 else array


def _class_logits(sample: Mapping[str, Any], num_classes: int) -> NDArray[np.float32] | None:
    """(C, H, W) logits of a sample, or None where the model gives none, or one for two classes."""
    logits = sample.get("seg_logits")
    if logits is None or num_classes < 2 or logits["data"].shape[0] != num_classes:
        return None
    return logits["data"].detach().float().cpu().numpy()


def _sparse(counts: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Flat index and count of the nonzeros: most classes are not in an image."""
    index = np.flatnonzero(counts)
    return index, counts[index]
