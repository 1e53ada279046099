"""Any number of processes, in threads of one: always the maps of a single process.

With MMRS_LONG_TESTS=1: 150 cases instead of a few.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrs.apis.scene.scene_ranks
from mmrs.apis.predict import predict_scenes
from mmrs.apis.scene.rank_group import RankError
from mmrs.apis.scene.scene_ranks import run_on_ranks
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.errors import MmrsError
from tests.apis.predict_server import SharpModel
from tests.fake_data import make_geotiff

OUTPUTS = SceneOutputs(confidence=True, score_dtype="uint16")


class Shared:
    """What processes know of each other."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.parcels: dict[tuple[int, int], queue.Queue] = {}
        self.error: BaseException | None = None


class FakeGroup:
    """As `RankGroup`, between threads; messages to who does not receive would wait for ever."""

    progress = None
    planned = 0

    def __init__(self, shared: Shared, rank: int, size: int) -> None:
        self.shared, self.rank, self.size = shared, rank, size

    def put(self, key: str, value: str) -> None:
        assert key not in self.shared.values, key
        self.shared.values[key] = value

    def get(self, key: str) -> str:
        deadline = time.monotonic() + 60
        while key not in self.shared.values:
            self.check()
            assert time.monotonic() < deadline, f"process {self.rank} waits for {key}"
            time.sleep(0.0005)
        return self.shared.values[key]

    def check(self) -> None:
        if self.shared.error is not None:
            raise RankError("another failed")

    def report(self, done: int, total: int) -> None:
        self.check()

    def _way(self, sender: int, receiver: int) -> queue.Queue:
        return self.shared.parcels.setdefault((sender, receiver), queue.Queue())

    def send(self, content: bytes | None, to: int) -> None:
        self._way(self.rank, to).put(content)

    def receive(self, sender: int) -> Iterator[bytes]:
        while (parcel := self._way(sender, self.rank).get(timeout=60)) is not None:
            yield parcel


class Failing(SharpModel):
    def __init__(self, left: int | None) -> None:
        super().__init__()
        self.left = left

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("boom")
        return super().__call__(windows)


def run_together(size: int, pairs: list, fails: dict[int, int], **how) -> list[list | None]:
    """What each of the processes returns; None where it failed."""
    shared, results = Shared(), [None] * size

    def one(rank: int) -> None:
        try:
            results[rank] = predict_scenes(
                pairs,
                Failing(fails.get(rank)),
                run=partial(run_on_ranks, FakeGroup(shared, rank, size)),
                outputs=OUTPUTS,
                **how,
            )
        except (RuntimeError, MmrsError) as error:
            shared.error = shared.error or error

    run_threads(one, size)
    return results


def run_threads(one: Callable[[int], None], size: int) -> None:
    threads = [threading.Thread(target=one, args=[rank]) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@settings(max_examples=150 if os.environ.get("MMRS_LONG_TESTS") else 6, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 70), st.integers(1, 30)), min_size=1, max_size=4),
    window=st.integers(3, 16),
    overlap=st.integers(0, 8),
    batch_size=st.integers(1, 4),
    blend=st.sampled_from(["cosine", "gaussian", "flat"]),
    runs=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(0, 40)), max_size=3),
    last=st.integers(1, 5),
)
def test_any_processes_interrupted_anywhere_make_the_maps_of_one(
    tmp_path_factory, sizes, window, overlap, batch_size, blend, runs, last
) -> None:
    folder = tmp_path_factory.mktemp("ranks")
    how = {
        "window": window, "stride": max(1, window - overlap), "batch_size": batch_size,
        "blend": blend,
    }  # fmt: skip
    for index, size in enumerate(sizes):
        columns = 4 * (size[1] > 9)
        make_geotiff(
            folder / f"{index}.tif", size_px=size, seed=index, nodata=0, nodata_columns=columns
        )
    names = [f"{index}.tif" for index in range(len(sizes))]
    whole = [(folder / name, folder / "whole" / name) for name in names]
    expected = predict_scenes(whole, SharpModel(), outputs=OUTPUTS, **how)
    pairs = [(folder / name, folder / "maps" / name) for name in names]
    for size, failing, after in runs:
        run_together(size, pairs, {failing: after}, resume=True, **how)
    results = run_together(last, pairs, {}, resume=True, **how)
    assert [each.pixels for each in results[0]] == [each.pixels for each in expected]
    assert results[1:] == [[]] * (last - 1)
    assert contents(folder / "maps") == contents(folder / "whole")


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"pairs": 1}, "process 1 and process 0 have different number of scenes: 1 and 2"),
        ({"pairs": -1}, "process 1 and process 0 have different names of scenes"),
        ({"window": 8}, "process 1 and process 0 have different windows"),
        ({"blend": "flat"}, "process 1 and process 0 have different options"),
        ({"model": "other"}, "process 1 and process 0 have different model"),
        ({"model": "sharp", "device": "cuda"}, None),
    ],
)
def test_processes_that_would_do_different_things_are_refused(
    tmp_path: Path, own: dict, told: str | None
) -> None:
    pairs = [(tmp_path / f"{i}.tif", tmp_path / "maps" / f"{i}.tif") for i in range(2)]
    for index, (image, _) in enumerate(pairs):
        make_geotiff(image, size_px=(20, 9), seed=index)
    shared = Shared()

    def one(rank: int) -> None:
        how = {"window": 7, "blend": "cosine", **(own if rank else {})}
        model, which = SharpModel(), how.pop("pairs", None)
        model.identity = {"model": how.pop("model", "sharp"), "device": how.pop("device", "cpu")}
        group = FakeGroup(shared, rank, 2)
        try:
            mine = {1: pairs[:1], -1: pairs[::-1]}.get(which, pairs)
            predict_scenes(mine, model, run=partial(run_on_ranks, group), **how)
        except MmrsError as error:
            shared.error = shared.error or error

    run_threads(one, 2)
    assert (told is None) == (shared.error is None)
    assert told is None or str(shared.error).startswith(told)
    assert (tmp_path / "maps").exists() == (told is None)


def test_a_strip_that_takes_long_to_read_is_sent_all_the_same(tmp_path: Path, monkeypatch) -> None:
    """A message comes within a minute of the other side's readiness, or both sides are lost."""
    make_geotiff(tmp_path / "a.tif", size_px=(40, 9))
    asked: list[float] = []
    opened: list[float] = []
    real = mmrs.apis.scene.scene_ranks.open_strip

    def slow(scene, strip, model, settings):
        spool = real(scene, strip, model, settings)
        if strip.rows.start:
            time.sleep(0.3)
            opened.append(time.monotonic())
        return spool

    class Told(FakeGroup):
        def get(self, key: str) -> str:
            if key.startswith("turn of"):
                asked.append(time.monotonic())
            return super().get(key)

    monkeypatch.setattr("mmrs.apis.scene.scene_ranks.open_strip", slow)
    shared = Shared()

    def one(rank: int) -> None:
        run = partial(run_on_ranks, Told(shared, rank, 2))
        predict_scenes(
            [(tmp_path / "a.tif", tmp_path / "map.tif")], SharpModel(), window=7, run=run
        )

    run_threads(one, 2)
    assert len(asked) == len(opened) == 1 and opened[0] <= asked[0]
    assert (tmp_path / "map.tif").exists()
