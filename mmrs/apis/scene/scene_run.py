"""A run of scene prediction: the stream of batches through the model into each scene's files."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray

from mmrs.apis.scene.read_ahead import ReadAhead
from mmrs.apis.scene.scene_settings import Settings
from mmrs.apis.scene.scene_stream import (
    Batch,
    Event,
    Passed,
    Scene,
    Unreadable,
    ValidRows,
    stream_scenes,
)
from mmrs.apis.scene.scene_writer import SceneWriter, open_predicted
from mmrs.apis.window.window_protocol import WindowModel
from mmrs.errors import DataError
from mmrs.geo.raster import GDAL_CACHE_BYTES

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # windows done, windows in all
MakeWriter = Callable[[Scene], SceneWriter]
READ_AHEAD = 4  # batches, or rows between them, that wait for the model
PUBLISH_BEHIND = 4  # finished scenes that wait to be written


@dataclass
class SceneResult:
    """What became of a scene.

    Attributes:
        scene: The scene.
        counts: (256,), how often each value occurs in its map; None where it was skipped.
        error: Why it was skipped.
    """

    scene: Scene
    counts: NDArray[np.int64] | None = None
    error: DataError | None = None


class SceneRun:
    """Predicts scenes, one after the other, as one stream of batches.

    Reading runs ahead on one thread, files are published behind on another; between them the
    model computes.

    Args:
        scenes: In their order. ``range(0)`` for rows: the scene is left out, as one that is
            finished. Rows that are empty elsewhere: all were kept, and the files are missing.
        model: What predicts.
        settings: How.
        progress: Called after every batch.
        make_writer: Makes what takes a scene's scores and publishes it; `SceneWriter` by default.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        model: WindowModel,
        settings: Settings,
        progress: Progress | None = None,
        *,
        make_writer: MakeWriter | None = None,
    ) -> None:
        self._scenes = scenes
        self._model = model
        # where a model has a band of its own, it also gives scores as that takes them
        self._scores = getattr(model, "scores", model)
        self._settings = settings
        self._progress = progress
        self._make_writer = make_writer or (lambda scene: SceneWriter(scene, model, settings))
        self._open: dict[int, SceneWriter] = {}
        self._early: dict[int, list[ValidRows]] = {}  # of scenes that have no writer yet
        self._next = 0  # the first scene that is not finished
        self._failed: dict[int, DataError] = {}
        self._publishing: dict[int, Future[NDArray[np.int64]]] = {}
        self._unpublished: deque[tuple[Future[NDArray[np.int64]], SceneWriter]] = deque()
        self._total = sum(len(scene.needed) for scene in scenes)
        self._before = np.concatenate([[0], np.cumsum([len(scene.needed) for scene in scenes])])

    def run(self) -> list[SceneResult]:
        """Predict what is wanted, publish it.

        Raises:
            DataError: A scene cannot be read, or the model makes no numbers of it, unless such
                are skipped.
            OutputError: A file cannot be written.
        """
        events = stream_scenes(
            self._scenes,
            self._model.contract,
            lambda scene: open_predicted(scene, self._model, self._settings),
            batch_size=self._settings.batch_size,
        )
        with ExitStack() as stack:
            stack.enter_context(_gdal())
            stack.callback(self._close_unpublished)
            publisher = stack.enter_context(ThreadPoolExecutor(1, "publish"))
            stack.callback(publisher.shutdown, cancel_futures=True)
            stack.callback(self._close)
            ahead = stack.enter_context(ReadAhead(events, depth=READ_AHEAD, around=_gdal))
            for event in ahead:
                self._take(event, publisher)
            self._finish_until(len(self._scenes), publisher)
            results = [self._result(index) for index in range(len(self._scenes))]
        if self._progress is not None:
            self._progress(self._total, self._total)  # the last windows may have held nothing
        return results

    def _take(self, event: Event, publisher: ThreadPoolExecutor) -> None:
        if isinstance(event, Unreadable):
            self._give_up(event)
        elif isinstance(event, Batch):
            self._compute(event, publisher)
        elif isinstance(event, Passed):
            self._finish_until(event.scene, publisher)
        elif event.scene in self._open:
            self._open[event.scene].job.add_valid(event)
        elif self._is_wanted(event.scene):
            # a writer keeps files open, and scenes without data may follow each other for long
            self._early.setdefault(event.scene, []).append(event)

    def _compute(self, batch: Batch, publisher: ThreadPoolExecutor) -> None:
        scores = self._scores(batch.pixels)
        for place, values in zip(batch.places, scores, strict=True):
            if place.needed and self._is_wanted(place.scene):
                self._finish_until(place.scene, publisher)
                try:
                    self._writer(place.scene).job.add(place, values)
                except DataError as error:
                    self._give_up(Unreadable(place.scene, error))
        if self._progress is not None:
            last = batch.places[-1]
            inside = last.index + 1 - self._scenes[last.scene].needed.start
            done = int(self._before[last.scene]) + max(0, inside)
            self._progress(min(done, self._total), self._total)

    def _is_wanted(self, scene: int) -> bool:
        rows = self._scenes[scene].rows
        return (bool(rows) or rows.start > 0) and scene not in self._failed

    def _writer(self, scene: int) -> SceneWriter:
        if scene not in self._open:
            self._open[scene] = self._make_writer(self._scenes[scene])
            for event in self._early.pop(scene, ()):
                self._open[scene].job.add_valid(event)
        return self._open[scene]

    def _finish_until(self, scene: int, publisher: ThreadPoolExecutor) -> None:
        """Hand on the last rows of all scenes before this one, and publish them."""
        while self._next < scene:
            index, self._next = self._next, self._next + 1
            if not self._is_wanted(index):
                continue
            try:
                writer = self._writer(index)
                writer.job.finish()
            except DataError as error:
                self._give_up(Unreadable(index, error))
                continue
            del self._open[index]
            self._publishing[index] = publisher.submit(writer.publish)
            self._unpublished.append((self._publishing[index], writer))
            self._wait_for_publishing()
        self._wait_for_publishing()

    def _wait_for_publishing(self) -> None:
        while self._unpublished and (
            self._unpublished[0][0].done() or len(self._unpublished) > PUBLISH_BEHIND
        ):
            self._unpublished[0][0].result()  # raises what went wrong there, while it is fresh
            self._unpublished.popleft()

    def _give_up(self, event: Unreadable) -> None:
        if not self._settings.skip_bad:
            raise event.error
        logger.warning("warning: skipped: %s", event.error)
        self._failed[event.scene] = event.error
        self._early.pop(event.scene, None)
        writer = self._open.pop(event.scene, None)
        if writer is not None:
            writer.discard()

    def _result(self, index: int) -> SceneResult:
        scene = self._scenes[index]
        if index in self._failed:
            return SceneResult(scene, error=self._failed[index])
        future = self._publishing.get(index)
        return SceneResult(scene, counts=None if future is None else future.result())

    def _close(self) -> None:
        for writer in self._open.values():
            writer.close()

    def _close_unpublished(self) -> None:
        for future, writer in self._unpublished:
            if future.cancelled():
                writer.close()


def _gdal() -> rasterio.Env:
    return rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES)
