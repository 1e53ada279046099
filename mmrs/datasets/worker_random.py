"""Random numbers that differ between workers, processes and epochs."""

from __future__ import annotations

import numpy as np
from torch.utils.data import get_worker_info


def draw_generator() -> np.random.Generator:
    """Return a generator seeded from NumPy's global state and from the worker at hand.

    MMEngine seeds NumPy and torch alike whenever workers start, which without
    ``persistent_workers=True`` is every epoch: each would draw what the first drew. The seed that
    the data loader gives a worker is another one in every epoch, and follows from the run's seed;
    NumPy's state brings in the process, which that seed is the same for.
    """
    entropy = [int(word) for word in np.random.randint(2**32, size=4, dtype=np.uint32)]
    worker = get_worker_info()
    return np.random.default_rng(entropy if worker is None else [*entropy, worker.seed])
