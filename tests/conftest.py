"""What every test gets: one thread, fixed seeds, and no state of MMEngine from the test before."""

from __future__ import annotations

import os

# before anything imports OpenMP: the sizes here are so small that threads only cost
os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """The same random numbers for a test, whichever tests run before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _fresh_mmengine() -> Iterator[None]:
    """MMEngine keeps its default scope, loggers, hubs and visualisers for the whole process."""
    yield
    if "mmengine.utils.manager" not in sys.modules:
        return
    manager = sys.modules["mmengine.utils.manager"]
    for owner in _subclasses(manager.ManagerMixin):
        for instance in owner._instance_dict.values():
            if isinstance(instance, logging.Logger):
                # a log file of a Runner stays open otherwise, and its folder is gone
                for handler in list(instance.handlers):
                    handler.close()
                    instance.removeHandler(handler)
        owner._instance_dict.clear()


def _subclasses(root: type) -> Iterator[type]:
    for child in root.__subclasses__():
        yield child
        yield from _subclasses(child)


@pytest.fixture
def work_dir(tmp_path: Path) -> str:
    """An empty folder for a Runner, as the string that its config wants."""
    folder = tmp_path / "work_dir"
    folder.mkdir()
    return str(folder)
