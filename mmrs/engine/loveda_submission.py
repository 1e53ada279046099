"""Predictions for the LoveDA test server."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, barrier, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from PIL import Image

from mmrs.engine.counted_metric import to_numpy
from mmrs.errors import ConfigError, DataError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.registry import METRICS

NUM_CLASSES = 7
NUM_TEST_IMAGES = 1796


@METRICS.register_module()
class LoveDASubmission(BaseMetric):
    """Writes what the LoveDA server scores: one PNG of ids 0-6 an image, in one flat zip.

    The server subtracts one from its own labels, so predictions are train ids: adding one back,
    as ``IoUMetric`` does for ``reduce_zero_label``, makes a label 7 that it refuses. A zip of
    the folder instead of the PNGs scores 0.

    Args:
        out_dir: Folder for the PNGs; ``submission.zip`` is put beside them.

    Raises:
        ConfigError: The data set has not LoveDA's seven classes.
        DataError: A predicted id is out of range, or two images share a name.

    Source: https://github.com/Junjue-Wang/LoveDA (issues 6, 32, 103);
        https://github.com/open-mmlab/mmsegmentation/issues/3279.
    """

    default_prefix = ""

    def __init__(self, *, out_dir: str) -> None:
        super().__init__(collect_device="cpu")
        self.out_dir = Path(out_dir)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Write one batch of predictions."""
        classes = (self.dataset_meta or {}).get("classes") or ()
        if len(classes) != NUM_CLASSES:
            raise ConfigError(
                f"LoveDA has {NUM_CLASSES} classes, the data set has {len(classes)}",
                where="test_dataloader.dataset",
                fix="use LoveDA's classes and order",
            )
        for sample in data_samples:
            image_path = str(sample["img_path"])
            predicted = to_numpy(sample["pred_sem_seg"]["data"])
            low, high = int(predicted.min()), int(predicted.max())
            if low < 0 or high >= NUM_CLASSES:
                raise DataError(
                    f"predicted id {low if low < 0 else high}, but the server takes "
                    f"0-{NUM_CLASSES - 1}",
                    where=image_path,
                    fix=f"submit a model with {NUM_CLASSES} classes, without shifting its ids",
                )
            self._write(predicted.astype(np.uint8), Path(image_path).stem)
            self.results.append(image_path)

    def _write(self, ids: np.ndarray, stem: str) -> None:
        with atomic_path(self.out_dir / f"{stem}.png") as temporary:
            try:
                Image.fromarray(ids).save(temporary)
            except OSError as error:
                raise OutputError(
                    f"cannot write ({error.strerror})", where=self.out_dir, fix="free space there"
                ) from error

    def evaluate(self, size: int) -> dict[str, float]:
        """Zip the PNGs of all processes; returns no score, the server has the labels."""
        del size  # a sample that a sampler repeats is the same file again
        paths = sorted({path for paths in all_gather_object(self.results) for path in paths})
        self.results.clear()
        names = _unique_names(paths)
        barrier()
        if is_main_process():
            self._zip(names)
        barrier()
        return {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """There is nothing to compute."""
        return {}

    def _zip(self, names: list[str]) -> None:
        target = self.out_dir / "submission.zip"
        with (
            atomic_path(target) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name in names:
                archive.write(self.out_dir / name, arcname=name)
        note = "" if len(names) == NUM_TEST_IMAGES else f"; the test set has {NUM_TEST_IMAGES}"
        print_log(f"{target}: {len(names)} PNGs of ids 0-6{note}", logger="current")


def _unique_names(paths: list[str]) -> list[str]:
    """File names in the zip for image ``paths``.

    Raises:
        DataError: Two images would have one name.
    """
    owners: dict[str, str] = {}
    for path in paths:
        name = f"{Path(path).stem}.png"
        if name in owners:
            raise DataError(
                f"its prediction has the name of that of {owners[name]}: {name}",
                where=path,
                fix="give the test images different names",
            )
        owners[name] = path
    return sorted(owners)
