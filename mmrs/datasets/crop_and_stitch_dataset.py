"""A data set and as many stitched samples again: the paper's doubled training set."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.dataset import Compose

from mmrs.datasets.transforms.check_sample import CheckSample
from mmrs.datasets.transforms.crop_and_stitch import CropAndStitch
from mmrs.datasets.worker_random import draw_generator
from mmrs.errors import ConfigError
from mmrs.registry import DATASETS


@DATASETS.register_module()
class CropAndStitchDataset:
    """N samples as they are, then N stitched ones; sample N + i has i in its upper left corner.

    The inner data set loads image and labels; what comes after (``pipeline``) sees originals and
    stitched samples alike. By default the inner pipeline is divided right after its labels are
    loaded and mapped, so that one line wraps a stock run::

        train_dataloader = dict(
            dataset=dict(
                _delete_=True,
                type="mmrs.CropAndStitchDataset",
                dataset={{_base_.train_dataloader.dataset}},
            )
        )

    Args:
        dataset: The data set, or its config. A data set that is handed over built, and divided,
            gives its later steps away.
        pipeline: Steps after the stitching, the packing included; None divides the inner
            pipeline.
        seed: The stitched set is made once and is the same in every epoch, worker and process,
            as the paper's is [X: it does not say]; None draws it anew each time, in
            every epoch, worker and process, as the run's seed has it.
        beta: Parameters of the boundary's beta distribution.
        size: (height, width) of stitched samples; by default that of the images, which must be
            equal.

    Raises:
        ConfigError: The inner pipeline cannot be divided, or an option is out of range.
        DataError: As `CropAndStitch`.
        LabelError: A label of the inner data set holds an id that is no class.

    Source: the dilated-SPP paper: the stitched set is added to the original one, 1 : 1.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        pipeline: Sequence[dict] | None = None,
        seed: int | None = 0,
        beta: tuple[float, float] = (0.3, 0.3),
        size: tuple[int, int] | None = None,
    ) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        steps = _take_later_steps(self.dataset) if pipeline is None else list(pipeline)
        self.pipeline = Compose(steps)
        self.seed = seed
        self.crop_and_stitch = CropAndStitch(prob=1.0, beta=beta, size=size)
        self.full_init()

    @property
    def metainfo(self) -> dict:
        """Of the inner data set."""
        return copy.deepcopy(self.dataset.metainfo)

    def full_init(self) -> None:
        """List the inner data set's files, if that is still to be done."""
        self.dataset.full_init()
        classes = self.metainfo.get("classes")
        self.check = CheckSample(
            num_classes=len(classes) if classes else None,
            ignore_index=getattr(self.dataset, "ignore_index", 255),
        )

    def __len__(self) -> int:
        return 2 * len(self.dataset)

    def get_data_info(self, idx: int) -> dict:
        """What is known of a sample's (first) file."""
        info: dict = self.dataset.get_data_info(idx % len(self.dataset))
        return info

    def __getitem__(self, idx: int) -> Any:
        count = len(self.dataset)
        if not -2 * count <= idx < 2 * count:
            raise IndexError(f"sample {idx} of {2 * count}")
        stitched, first = divmod(idx % (2 * count), count)
        sample = self._load(first)
        if stitched:
            rng = self._random(first)
            others = [self._load(other) for other in _draw_others(rng, first, count)]
            sample = self.crop_and_stitch.stitch([sample, *others], rng)
        return self.pipeline(sample)

    def _load(self, index: int) -> dict:
        sample: dict = self.dataset[index]
        # here, where the file is still known; behind the stitching four share the blame
        self.check(sample)
        return sample

    def _random(self, index: int) -> np.random.Generator:
        if self.seed is None:
            return draw_generator()
        return np.random.default_rng((self.seed, index))


def _draw_others(rng: np.random.Generator, index: int, count: int) -> list[int]:
    """Three samples other than ``index``, all different where there are enough."""
    if count == 1:
        return [0, 0, 0]
    drawn = rng.choice(count - 1, 3, replace=count < 4)
    return [int(other + (other >= index)) for other in drawn]


def _take_later_steps(dataset: Any) -> list:
    """Divide a data set's pipeline, in place: it keeps what loads; return the rest."""
    steps = list(getattr(getattr(dataset, "pipeline", None), "transforms", []))
    loading = [
        position
        for position, step in enumerate(steps)
        if isinstance(step, LoadAnnotations) or getattr(step, "maps_labels", False)
    ]
    if not loading:
        raise ConfigError(
            f"{type(dataset).__name__} has no pipeline with LoadAnnotations to divide",
            where="CropAndStitchDataset.dataset",
            fix="load image and labels in the inner data sets, and give the steps after the "
            "stitching as pipeline=[...]",
        )
    last = loading[-1] + 1
    dataset.pipeline = Compose(steps[:last])
    return steps[last:]
