"""Scenes shared by several processes: each predicts a part, one writes each file.

Every process takes consecutive windows of the list of scenes, so whole scenes and at most a strip
of rows at each end.  It forms the batches that a single process would, so the maps are the same to
the last bit.  A strip is kept on the disk of its process (beside the map, as rows that wait are);
when all of a scene are there, they are sent to the process of the first strip, which publishes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.scene.rank_group import RankGroup
from mmrs.apis.scene.scene_resume import clean_up, resume_scene
from mmrs.apis.scene.scene_run import Progress, SceneResult, SceneRun
from mmrs.apis.scene.scene_settings import Settings
from mmrs.apis.scene.scene_shares import Strip, share_scenes
from mmrs.apis.scene.scene_stream import Scene
from mmrs.apis.scene.scene_writer import SceneWriter
from mmrs.apis.scene.strip_writer import StripWriter, open_strip, resume_strip
from mmrs.apis.window.window_protocol import WindowModel
from mmrs.errors import ConfigError, DataError, OutputError
from mmrs.geo.rows.row_parcels import pack_rows, unpack_rows
from mmrs.geo.rows.spool_strips import remove_strip, remove_strips

logger = logging.getLogger(__name__)


def run_on_ranks(
    group: RankGroup,
    scenes: Sequence[Scene],
    model: WindowModel,
    settings: Settings,
    progress: Progress | None = None,
) -> list[SceneResult]:
    """Predict scenes together with the other processes of a group.

    Args:
        group: The processes.
        scenes: All, with all their rows; the same in every process.
        model: What predicts.
        settings: How.
        progress: Called by the first process, with the windows of all.

    Returns:
        In the first process what became of each scene; in the others nothing.

    Raises:
        MmrsError: What went wrong first, in whichever process.
    """
    group.progress = progress if group.rank == 0 else None
    finished = _find_finished(group, scenes, model, settings)
    # rows of another grid, or that need their neighbours, are not put together from strips
    cut = not settings.resample and settings.crf is None
    strips = share_scenes(scenes, finished, group.size, cut=cut)
    if not settings.resume:
        group.planned = sum(
            len(replace(scene, rows=strip.rows).needed)
            for scene, of_scene in zip(scenes, strips, strict=True)
            for strip in of_scene
        )
    return RankRun(group, scenes, strips, model, settings).run(finished)


def _find_finished(
    group: RankGroup, scenes: Sequence[Scene], model: WindowModel, settings: Settings
) -> dict[int, NDArray[np.int64]]:
    """Scenes whose files are there, as the first process sees them."""
    clean_up(scenes, settings)
    told = _order(scenes, settings)
    group.put(f"clean {group.rank}", json.dumps(told))
    if group.rank:
        known = json.loads(group.get("finished"))
        return {int(index): np.array(counts) for index, counts in known.items()}
    for rank in range(group.size):
        # nobody writes yet what another might take for left
        _check_same(told, json.loads(group.get(f"clean {rank}")), rank)
    found = {}
    for index, scene in enumerate(scenes if settings.resume else ()):
        group.check()
        counts = resume_scene(scene, model, settings)[1]
        if counts is not None:
            found[index] = counts
    group.put("finished", json.dumps({index: counts.tolist() for index, counts in found.items()}))
    return found


def _order(scenes: Sequence[Scene], settings: Settings) -> dict[str, Any]:
    """What a process is about to do, in words that are the same on every machine."""
    plans = [scene.plan for scene in scenes]
    images = [s.image if isinstance(s.image, Path) else s.image.path for s in scenes]
    options = replace(settings, model={})
    # networks of other machines may be other builds, on other devices
    model = {k: v for k, v in settings.model.items() if k not in ("device", "torch", "runtime")}
    told = {
        "number of scenes": len(scenes),
        "names of scenes": _checksum([image.name for image in images]),
        "sizes of scenes": _checksum([(plan.height, plan.width) for plan in plans]),
        "windows": _checksum([(p.row_starts[:2], p.col_starts[:2], p[0][2:]) for p in plans]),
        "model": _checksum(sorted(model.items())),
        "options": _checksum(asdict(options)),
    }
    return dict(json.loads(json.dumps(told)))


def _checksum(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]


def _check_same(own: dict[str, Any], other: dict[str, Any], rank: int) -> None:
    for name, value in own.items():
        if other.get(name) != value:
            shown = f": {other.get(name)} and {value}" if isinstance(value, int) else ""
            raise ConfigError(
                f"process {rank} and process 0 have different {name}{shown}",
                fix="start all processes with the same command, on the same files",
            )


class RankRun:
    """This process's part of a run, and its dealings with the others.

    Args:
        group: The processes.
        scenes: All, with all their rows.
        strips: Of each scene, who predicts what.
        model: What predicts.
        settings: How.
    """

    def __init__(
        self,
        group: RankGroup,
        scenes: Sequence[Scene],
        strips: Sequence[Sequence[Strip]],
        model: WindowModel,
        settings: Settings,
    ) -> None:
        self._group = group
        self._scenes = scenes
        self._strips = strips
        self._model = model
        self._settings = settings
        # what was kept is gone on with at the end, whether it was at the beginning or not
        self._going_on = replace(settings, resume=True)
        self._counts: dict[int, NDArray[np.int64]] = {}
        self._errors: dict[int, str] = {}
        self._shown: set[int] = set()

    def run(self, finished: dict[int, NDArray[np.int64]]) -> list[SceneResult]:
        """Predict this process's part, put cut scenes together, publish; see `run_on_ranks`."""
        mine = {s.scene: s for strips in self._strips for s in strips if s.rank == self._group.rank}
        self._predict(mine)
        cut = [strip for strip in mine.values() if len(self._strips[strip.scene]) > 1]
        for strip in cut:
            self._group.put(_key("kept", strip), self._errors.get(strip.scene, ""))
        # first to the process before this one, then from those after it: the first of all only
        # receives, so nobody waits for one who waits for him
        for strip in cut:
            if strip.rows.start:
                self._send(strip)
        for strip in cut:
            if not strip.rows.start:
                self._gather(strip.scene)
        for strip in cut:
            self._group.get(f"settled {strip.scene}")
            if strip.rows.start:
                remove_strip(self._out(strip.scene), strip.rows)
        return self._collect(finished)

    def _predict(self, mine: dict[int, Strip]) -> None:
        scenes = [self._part(index, scene, mine) for index, scene in enumerate(self._scenes)]
        strip_of = {self._scenes[index].out: strip for index, strip in mine.items()}

        def make_writer(scene: Scene) -> Any:
            strip = strip_of[scene.out]
            if len(self._strips[strip.scene]) == 1:
                return SceneWriter(scene, self._model, self._settings)
            return StripWriter(scene, strip, self._model, self._settings)

        results = SceneRun(
            scenes, self._model, self._settings, self._group.report, make_writer=make_writer
        ).run()
        for index, result in enumerate(results):
            if result.counts is not None:
                self._counts[index] = result.counts
            if result.error is not None:
                self._errors[index] = str(result.error)
        self._shown = set(self._errors)  # by the run itself

    def _part(self, index: int, scene: Scene, mine: dict[int, Strip]) -> Scene:
        """What this process predicts of a scene."""
        if index not in mine:
            return replace(scene, rows=range(0))
        if len(self._strips[index]) > 1:
            return resume_strip(scene, mine[index], self._model, self._settings)
        if not self._settings.resume:
            return scene
        scene, counts = resume_scene(scene, self._model, self._settings)
        if counts is not None:
            self._counts[index] = counts
        return scene

    def _send(self, strip: Strip) -> None:
        """Send a strip's rows to the process that writes the scene."""
        if self._group.get(f"wanted {strip.scene}") == "no":
            return
        owner = self._strips[strip.scene][0].rank
        # opened first: to read through all that was kept may take longer than a message may
        with open_strip(self._scenes[strip.scene], strip, self._model, self._going_on) as spool:
            if spool.rows != len(strip.rows):
                raise OutputError(
                    f"{len(strip.rows) - spool.rows} rows that were kept are lost",
                    where=self._out(strip.scene), fix="run again with --resume",
                )  # fmt: skip
            self._group.get(_key("turn of", strip))
            first = 0
            for arrays in spool.read_codes():
                self._group.send(pack_rows(first, arrays), owner)
                first += len(arrays["labels"])
        self._group.send(None, owner)

    def _gather(self, index: int) -> None:
        """Put a scene together from all its strips, and publish it."""
        own, *others = self._strips[index]
        states = [self._group.get(_key("kept", strip)) for strip in (own, *others)]
        errors = [state for state in states if state]
        self._group.put(f"wanted {index}", "no" if errors else "yes")
        if errors:
            self._errors[index] = errors[0]
            open_strip(self._scenes[index], own, self._model, self._going_on).delete()
        else:
            with open_strip(self._scenes[index], own, self._model, self._going_on) as spool:
                for strip in others:
                    self._group.put(_key("turn of", strip), "")
                    for parcel in self._group.receive(strip.rank):
                        first, arrays = unpack_rows(parcel)
                        rows = spool.decode(arrays)
                        # those that are there already came from a run of fewer processes
                        known = spool.rows - strip.rows.start - first
                        if known < len(rows):
                            spool.append(rows.part(known, len(rows)))
            self._publish(index)
        remove_strips([self._out(index)])
        self._group.put(f"settled {index}", "")

    def _publish(self, index: int) -> None:
        scene = self._scenes[index]
        whole = replace(scene, rows=range(scene.plan.height, scene.plan.height))
        self._counts[index] = SceneWriter(whole, self._model, self._going_on).publish()

    def _collect(self, finished: dict[int, NDArray[np.int64]]) -> list[SceneResult]:
        """Tell the first process what became of this one's scenes; there, of all."""
        told = {
            "counts": {index: counts.tolist() for index, counts in self._counts.items()},
            "errors": self._errors,
        }
        self._group.put(f"result {self._group.rank}", json.dumps(told))
        if self._group.rank:
            return []
        results = [SceneResult(scene, finished.get(i)) for i, scene in enumerate(self._scenes)]
        for rank in range(self._group.size):
            found = json.loads(self._group.get(f"result {rank}"))
            for index, counts in found["counts"].items():
                results[int(index)].counts = np.array(counts)
            for index, error in found["errors"].items():
                results[int(index)].error = DataError(error)
                if int(index) not in self._shown:
                    logger.warning("warning: skipped: %s", error)
                    self._shown.add(int(index))
        # of an earlier run that was cut elsewhere
        remove_strips(self._out(index) for index in range(len(self._scenes)))
        return results

    def _out(self, index: int) -> Path:
        return Path(str(self._scenes[index].out))


def _key(what: str, strip: Strip) -> str:
    return f"{what} {strip.scene} {strip.rank}"
