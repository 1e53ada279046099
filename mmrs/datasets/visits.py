"""Samples whose augmentation depends on the seed and on how often an image was visited alone.

A resumed run then goes on exactly as it would have, with any number of workers and processes,
and no data need be read again to get there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler

from mmrs.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class VisitSampler(InfiniteSampler):
    """MMEngine's ``InfiniteSampler``, whose indices tell the visit: visit * length + index.

    For the data sets of this package that take a ``seed``; others know no index beyond their
    length.

    Args:
        dataset: The data set.
        shuffle: A new order at each visit.
        seed: Of the order; by default the run's.
    """

    def _infinite_indices(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        visit = 0
        while True:
            order = torch.arange(self.size)
            if self.shuffle:
                order = torch.randperm(self.size, generator=generator)
            yield from (order + visit * self.size).tolist()
            visit += 1


class VisitedMixin:
    """Put before a data set class that has ``load_sample``, ``pipeline`` and ``seed``.

    Indices may be those of `VisitSampler`, visit * length + index.
    """

    seed: int | None

    def __iter__(self) -> Iterator[Any]:
        """One visit of every sample: there is an item at every index, so Python would not stop."""
        return (self[index] for index in range(len(self)))  # type: ignore[index,arg-type]

    def prepare_data(self, idx: int) -> Any:
        """A sample: drawn, read, then through the pipeline."""
        length = len(self)  # type: ignore[arg-type]
        # negative ones count from the end of the first visit
        visit, index = divmod(idx + length if -length <= idx < 0 else idx, length)
        with seeded(self.seed, visit, index):
            return self.pipeline(self.load_sample(index))  # type: ignore[attr-defined]


@contextmanager
def seeded(seed: int | None, visit: int, index: int) -> Iterator[None]:
    """Let NumPy's, Python's and PyTorch's generators start from a sample's own seed, for a while.

    Transforms of MMCV, MMPreTrain and mmrs draw from the global ones.

    Args:
        seed: None leaves them as they are.
        visit: How often the data set has been gone through.
        index: Of the sample.
    """
    if seed is None:
        yield
        return
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    words = np.random.SeedSequence((seed, visit, index)).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.random.default_generator.manual_seed(int(words[2]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.random.set_rng_state(before[2])
