"""Which windows share a batch, which batches are computed, and what is read for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.scene.scene_reader import SceneReader
from mmrs.apis.scene.scene_stream import (
    BATCHES_PER_GROUP,
    Batch,
    Passed,
    Scene,
    Unreadable,
    ValidRows,
    stream_scenes,
)
from mmrs.errors import DataError
from mmrs.geo.windows import Window, plan_windows

CONTRACT = ChannelContract(1, "uint8", "file")


class FakeRaster:
    """Rows counted as they are read; 0 is no data."""

    def __init__(self, pixels: np.ndarray, *, damaged_from: int | None = None) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape
        self.has_invalid = bool((pixels == 0).any())
        self.damaged_from = damaged_from
        self.read_rows: list[int] = []
        self.closed = False

    def read(self, window: Window) -> np.ndarray:
        rows = range(window.row, window.row + window.height)
        if self.damaged_from is not None and rows.stop > self.damaged_from:
            raise DataError("damaged", where="scene")
        self.read_rows += rows
        return self.pixels[window.slices][..., None].copy()

    def read_valid(self, window: Window) -> np.ndarray:
        return self.pixels[window.slices] > 0

    def close(self) -> None:
        self.closed = True


def make_scenes(rasters: list[FakeRaster], window: int, stride: int) -> list[Scene]:
    return [
        Scene(
            Path(str(index)),
            plan_windows(raster.height, raster.width, window, stride),
            range(raster.height),
            Path("out"),
        )
        for index, raster in enumerate(rasters)
    ]


def run(rasters: list[FakeRaster], scenes: list[Scene], batch_size: int) -> list:
    def open_raster(scene: Scene) -> FakeRaster:
        return rasters[int(str(scene.image))]

    return list(stream_scenes(scenes, CONTRACT, open_raster, batch_size=batch_size))


def batches_of(events: list) -> list[list[tuple[int, int]]]:
    return [
        [(place.scene, place.index) for place in event.places]
        for event in events
        if isinstance(event, Batch)
    ]


SIZES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 12)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 3), seed=st.integers(0, 999), data=st.data())
def test_a_run_that_begins_anywhere_computes_batches_of_the_whole_run(
    sizes, batch_size, seed, data
) -> None:
    rng = np.random.default_rng(seed)
    rasters = [FakeRaster(rng.choice([0, 1, 2], size, p=[0.9, 0.05, 0.05])) for size in sizes]
    scenes = make_scenes(rasters, window=4, stride=3)
    whole = batches_of(run(rasters, scenes, batch_size))
    parts = []
    for scene in scenes:
        first = data.draw(st.integers(0, scene.plan.height))
        parts.append(replace(scene, rows=range(first, scene.plan.height)))
    entered = batches_of(run(rasters, parts, batch_size))
    needed = {(index, number) for index, scene in enumerate(parts) for number in scene.needed}
    assert entered == [batch for batch in whole if needed & set(batch)]


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 3), seed=st.integers(0, 999))
def test_each_window_with_data_is_in_one_batch_with_its_own_pixels(sizes, batch_size, seed) -> None:
    rng = np.random.default_rng(seed)
    rasters = [FakeRaster(rng.integers(0, 2, size).astype(np.uint8)) for size in sizes]
    scenes = make_scenes(rasters, window=4, stride=2)
    events = run(rasters, scenes, batch_size)
    seen = []
    for batch in (event for event in events if isinstance(event, Batch)):
        for place, pixels in zip(batch.places, batch.pixels, strict=True):
            expected = rasters[place.scene].pixels[place.window.slices]
            np.testing.assert_array_equal(pixels[..., 0], expected)
            seen.append((place.scene, place.index))
    assert seen == [
        (index, number)
        for index, scene in enumerate(scenes)
        for number, window in enumerate(scene.plan)
        if rasters[index].pixels[window.slices].any()
    ]


def test_every_row_is_read_once_and_told_before_the_windows_that_end_in_it() -> None:
    raster = FakeRaster(np.random.default_rng(0).integers(0, 2, (23, 9)).astype(np.uint8))
    events = run([raster], make_scenes([raster], window=6, stride=2), batch_size=3)
    assert raster.read_rows == list(range(23))
    told = 0
    for event in events:
        if isinstance(event, ValidRows):
            assert event.row == told
            told += event.count
            rows = raster.pixels[event.row : event.row + event.count] > 0
            np.testing.assert_array_equal(np.broadcast_to(event.valid, rows.shape), rows)
        elif isinstance(event, Batch):
            assert all(place.window.row + place.window.height <= told for place in event.places)
    assert told == 23
    assert raster.closed


def test_batches_are_full_but_for_the_last_of_a_group() -> None:
    raster = FakeRaster(np.ones((100, 3), dtype=np.uint8))
    batches = batches_of(run([raster], make_scenes([raster], window=3, stride=1), batch_size=2))
    assert [len(batch) for batch in batches] == [2] * 49
    sparse = np.ones((100, 3), dtype=np.uint8)
    sparse[:14] = 0  # 12 of the first 16 windows hold nothing
    raster = FakeRaster(sparse)
    batches = batches_of(run([raster], make_scenes([raster], window=3, stride=1), batch_size=2))
    assert BATCHES_PER_GROUP * 2 == 16
    assert [index for batch in batches for _, index in batch] == list(range(12, 98))
    assert {len(batch) for batch in batches} == {2}


@settings(max_examples=30, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 2), seed=st.integers(0, 999))
def test_of_scenes_that_were_passed_nothing_comes_any_more(sizes, batch_size, seed) -> None:
    rng = np.random.default_rng(seed)
    rasters = [FakeRaster(rng.choice([0, 1], size, p=[0.9, 0.1])) for size in sizes]
    scenes = make_scenes(rasters, window=4, stride=3)
    passed = 0
    for event in run(rasters, scenes, batch_size):
        if isinstance(event, Passed):
            assert event.scene >= passed
            passed = event.scene
        elif isinstance(event, Batch):
            assert all(place.scene >= passed for place in event.places)
        else:
            assert event.scene >= passed
    assert passed == len(scenes) - 1


def test_windows_of_another_size_share_no_batch() -> None:
    rasters = [FakeRaster(np.ones(size, dtype=np.uint8)) for size in [(4, 4), (2, 4), (4, 4)]]
    batches = batches_of(run(rasters, make_scenes(rasters, window=4, stride=4), batch_size=3))
    assert batches == [[(0, 0)], [(1, 0)], [(2, 0)]]


def test_a_scene_that_breaks_off_is_told_once_and_the_others_go_on() -> None:
    rasters = [
        FakeRaster(np.ones((9, 3), dtype=np.uint8), damaged_from=6 if index == 1 else None)
        for index in range(3)
    ]
    events = run(rasters, make_scenes(rasters, window=3, stride=3), batch_size=1)
    told = [event for event in events if isinstance(event, Unreadable)]
    assert [(event.scene, str(event.error)) for event in told] == [(1, "scene: damaged")]
    assert batches_of(events) == [[(0, 0)], [(0, 1)], [(0, 2)], [(1, 0)], [(1, 1)]] + [
        [(2, index)] for index in range(3)
    ]


def test_a_scene_of_which_nothing_is_wanted_is_not_opened() -> None:
    rasters = [FakeRaster(np.ones((40, 3), dtype=np.uint8)) for _ in range(2)]
    scenes = make_scenes(rasters, window=3, stride=1)
    scenes[0] = replace(scenes[0], rows=range(0))
    batches = batches_of(run(rasters, scenes, batch_size=1))
    assert [scene for ((scene, _),) in batches] == [1] * 38
    # the last group of the first scene holds windows of both
    assert rasters[0].read_rows[0] >= 38 - BATCHES_PER_GROUP
    assert not run(rasters, [replace(scene, rows=range(0)) for scene in scenes], 1)


def test_a_window_is_asked_for_after_an_advance() -> None:
    reader = SceneReader(0, FakeRaster(np.ones((4, 4), dtype=np.uint8)), CONTRACT)
    with pytest.raises(ValueError, match="advance to the window first"):
        reader.pixels(Window(0, 0, 2, 2))
