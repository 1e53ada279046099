"""The windows of one scene or many as one stream of batches that can be entered anywhere.

Which windows share a batch is settled by the list of scenes alone, never by where a run begins:
a model's rounding may depend on the size of its batch, so a run that goes on after an
interruption, or that computes a part on another machine, must form the same batches.  The stream
is therefore cut into groups of consecutive windows; within a group, those that hold data form
batches, and a batch that nobody needs is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.scene.scene_reader import SceneReader
from mmrs.errors import DataError
from mmrs.geo.raster import Raster
from mmrs.geo.rows.memory_rows import MemoryRows
from mmrs.geo.windows import Window, WindowPlan

BATCHES_PER_GROUP = 8  # at most one batch in so many is not full for want of windows


@dataclass(frozen=True)
class Scene:
    """What is to be predicted of a scene.

    Attributes:
        image: The file, or an array or dataset as a raster.
        plan: Its windows.
        rows: The rows, of the grid that is predicted on, that are wanted; all by default
            (``range(plan.height)``), none of a scene that is finished.
        out: Where its class map goes: a file, or arrays.
    """

    image: Path | Raster
    plan: WindowPlan
    rows: range
    out: Path | MemoryRows

    @property
    def needed(self) -> range:
        """Indices of the windows that touch a wanted row."""
        if not self.rows:
            return range(0)
        last_row = self.rows.stop - 1
        lines = [
            line
            for line, start in enumerate(self.plan.row_starts)
            if start <= last_row and start + self.plan.window_height > self.rows.start
        ]
        columns = len(self.plan.col_starts)
        return range(lines[0] * columns, (lines[-1] + 1) * columns)


@dataclass(frozen=True)
class Place:
    """A window of one of the scenes."""

    scene: int
    index: int
    window: Window
    needed: bool


@dataclass(frozen=True)
class ValidRows:
    """Rows that were read: which of their pixels hold data.

    Attributes:
        scene: Which scene.
        row: The first of them.
        count: How many.
        valid: (count, W), or one value for all.
    """

    scene: int
    row: int
    count: int
    valid: NDArray[np.bool_] | bool


@dataclass(frozen=True)
class Batch:
    """Windows that the model sees at once.

    Attributes:
        places: Which they are.
        pixels: (N, h, w, bands).
    """

    places: tuple[Place, ...]
    pixels: NDArray[Any]


@dataclass(frozen=True)
class Unreadable:
    """A scene that cannot be read any further."""

    scene: int
    error: DataError


@dataclass(frozen=True)
class Passed:
    """All windows of the scenes before one have been given."""

    scene: int


Event = ValidRows | Batch | Unreadable | Passed


def stream_scenes(
    scenes: Sequence[Scene],
    contract: ChannelContract,
    open_raster: Callable[[Scene], Raster],
    *,
    batch_size: int,
) -> Iterator[Event]:
    """Read scenes from the first to the last, and form the batches that are needed.

    Each row of a scene is read once.  Windows without a pixel of data are in no batch.

    Args:
        scenes: In their order; those of which nothing is wanted take part in forming batches.
        contract: Of the model.
        open_raster: Opens a scene.
        batch_size: Windows in a batch.

    Yields:
        The rows that were read, before the windows that end in them, and the batches; in place of
        the rest of a scene that cannot be read, why; and now and then how far this is, for of
        scenes without data there are no batches.
    """
    reader: SceneReader | None = None
    failed: set[int] = set()
    try:
        for group in needed_groups(scenes, batch_size):
            waiting: list[tuple[Place, NDArray[Any]]] = []
            for place in group:
                if place.scene in failed:
                    continue
                try:
                    if reader is None or reader.scene != place.scene:
                        reader = _next_reader(reader, scenes, place.scene, open_raster, contract)
                    fresh = reader.advance(place.window)
                    holds = reader.holds_data(place.window)
                    pixels = reader.pixels(place.window) if holds else None
                except DataError as error:
                    failed.add(place.scene)
                    yield Unreadable(place.scene, error)
                    continue
                if fresh is not None:
                    yield ValidRows(place.scene, *fresh)
                if pixels is not None:
                    waiting.append((place, pixels))
                if len(waiting) == batch_size:
                    yield from _batch(waiting)
                    waiting = []
            yield from _batch(waiting)
            yield Passed(group[-1].scene)
    finally:
        if reader is not None:
            reader.close()


def needed_groups(scenes: Sequence[Scene], batch_size: int) -> Iterator[list[Place]]:
    """The groups of windows of which some are needed, in order.

    Groups are counted from the first window of the first of consecutive scenes with windows of
    one size.
    """
    size = batch_size * BATCHES_PER_GROUP
    for run in _runs_of_one_size(scenes):
        starts = np.concatenate([[0], np.cumsum([len(scenes[index].plan) for index in run])])
        next_group = 0
        for position, index in enumerate(run):
            needed = scenes[index].needed
            if not needed:
                continue
            first = max(next_group, (int(starts[position]) + needed.start) // size)
            last = (int(starts[position]) + needed.stop - 1) // size
            for group in range(first, last + 1):
                yield _group(scenes, run, starts, group * size, size)
            next_group = max(next_group, last + 1)


def _runs_of_one_size(scenes: Sequence[Scene]) -> Iterator[list[int]]:
    run: list[int] = []
    for index, scene in enumerate(scenes):
        if run and _window_size(scenes[run[-1]]) != _window_size(scene):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _window_size(scene: Scene) -> tuple[int, int]:
    return scene.plan.window_height, scene.plan.window_width


def _group(
    scenes: Sequence[Scene], run: list[int], starts: NDArray[np.int64], first: int, size: int
) -> list[Place]:
    places = []
    end = min(first + size, int(starts[-1]))
    position = int(np.searchsorted(starts, first, side="right")) - 1
    while first < end:
        scene = run[position]
        start, stop = int(starts[position]), min(end, int(starts[position + 1]))
        plan, needed = scenes[scene].plan, scenes[scene].needed
        for index in range(first - start, stop - start):
            places.append(Place(scene, index, plan[index], index in needed))
        first, position = stop, position + 1
    return places


def _next_reader(
    reader: SceneReader | None,
    scenes: Sequence[Scene],
    scene: int,
    open_raster: Callable[[Scene], Raster],
    contract: ChannelContract,
) -> SceneReader:
    if reader is not None:
        reader.close()
    return SceneReader(scene, open_raster(scenes[scene]), contract)


def _batch(waiting: list[tuple[Place, NDArray[Any]]]) -> Iterator[Batch]:
    if any(place.needed for place, _ in waiting):
        yield Batch(
            tuple(place for place, _ in waiting), np.stack([pixels for _, pixels in waiting])
        )
