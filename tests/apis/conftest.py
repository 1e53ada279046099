"""A data set of three small classes, made afresh for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apis.tiny_run import write_pairs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """``img`` and ``ann`` with 4 training and 3 validation pairs of 32 px."""
    write_pairs(tmp_path, "train", 4)
    write_pairs(tmp_path, "val", 3, seed=1)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_launcher_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
