"""What earlier runs left of a scene: rows that were kept, or files that are finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.scene.own_maps import read_tags, run_tags
from mmrs.apis.scene.scene_input import open_scene
from mmrs.apis.scene.scene_run import Progress, SceneResult, SceneRun
from mmrs.apis.scene.scene_settings import Settings
from mmrs.apis.scene.scene_stream import Scene
from mmrs.apis.scene.scene_writer import needed_from, open_spool, way_back
from mmrs.apis.window.window_protocol import WindowModel
from mmrs.errors import ConfigError, DataError
from mmrs.geo.maps.leftovers import remove_leftovers
from mmrs.geo.maps.publish import count_labels
from mmrs.geo.raster import Raster
from mmrs.geo.resampled import ResampledRaster
from mmrs.geo.rows.locked_file import is_held
from mmrs.geo.rows.row_spool import spool_path
from mmrs.geo.rows.spool_strips import remove_strips
from mmrs.geo.windows import Window

_PIECE_ROWS = 256


def run_scenes(
    scenes: Sequence[Scene],
    model: WindowModel,
    settings: Settings,
    progress: Progress | None = None,
) -> list[SceneResult]:
    """Predict scenes in this process, or what earlier runs left to do of them.

    Raises:
        MmrsError: As `SceneRun`, or what was left was made otherwise.
    """
    clean_up(scenes, settings)
    # of several processes that were interrupted; this one begins where the first of them ended
    remove_strips(scene.out for scene in scenes if isinstance(scene.out, Path))
    scenes, finished = list(scenes), {}
    if settings.resume:
        for index, scene in enumerate(scenes):
            scenes[index], counts = resume_scene(scene, model, settings)
            if counts is not None:
                finished[index] = counts
    results = SceneRun(scenes, model, settings, progress).run()
    for index, counts in finished.items():
        results[index].counts = counts
    return results


def clean_up(scenes: Iterable[Scene], settings: Settings) -> None:
    """Remove the temporary files that killed runs left of these scenes' files.

    Scenes that another process has, maybe on another machine, are left alone.
    """
    outs = [scene.out for scene in scenes if isinstance(scene.out, Path)]
    outs = [out for out in outs if not is_held(spool_path(out))]
    remove_leftovers(path for out in outs for path in (out, *settings.outputs.paths(out).values()))


def check_identity(model: Mapping[str, object]) -> None:
    """Raise where nothing tells a model from another, so that rows could be mixed in silence.

    Raises:
        ConfigError: The model has no identity.
    """
    if not model:
        raise ConfigError(
            "the model does not say which one it is, so rows of another could be kept",
            where="resume",
            fix="give it a dict called identity (its weights' checksum), or leave resume out",
        )


def resume_scene(
    scene: Scene, model: WindowModel, settings: Settings
) -> tuple[Scene, NDArray[np.int64] | None]:
    """What is still wanted of a scene.

    Returns:
        The scene with ``range(0)`` for rows where its files are finished, and how often each value
        occurs in its map, (256,).  Where rows wait beside its class map, the scene from the first
        row on that was not kept (which may be its last + 1), and None.  Else all of it, and None.

    Raises:
        OutputError: The rows that wait were made otherwise, or another process has them.
    """
    if not isinstance(scene.out, Path):
        return scene, None
    # where rows wait, a run ended before all files were in place
    if spool_path(scene.out).exists():
        first = _first_row(scene, model, settings)
        return replace(scene, rows=range(first, scene.plan.height)), None
    if not _is_published(scene, scene.out, settings):
        return scene, None
    counts = count_map(scene.out, len(model.classes))
    return scene if counts is None else replace(scene, rows=range(0)), counts


def _is_published(scene: Scene, out: Path, settings: Settings) -> bool:
    """Whether the files are there, made as they would be now."""
    if not all(path.is_file() for path in (out, *settings.outputs.paths(out).values())):
        return False
    return run_tags(scene, settings).items() <= read_tags(out).items()


def count_map(path: Path, num_classes: int) -> NDArray[np.int64] | None:
    """How often each value occurs in a class map, (256,); None where it cannot be read."""
    counts = np.zeros(256, dtype=np.int64)
    try:
        with Raster(path) as raster:
            for row in range(0, raster.height, _PIECE_ROWS):
                rows = min(_PIECE_ROWS, raster.height - row)
                labels = raster.read(Window(row, 0, rows, raster.width))[..., 0]
                counts += count_labels(labels, num_classes)
    except DataError:
        return None
    return counts


def _first_row(scene: Scene, model: WindowModel, settings: Settings) -> int:
    with open_scene(scene.image, model.contract, resample=settings.resample, warn=False) as raster:
        source = raster.source if isinstance(raster, ResampledRaster) else raster
        with open_spool(scene, source, model, settings) as spool:
            first = needed_from(spool.rows, source, settings)
            back = way_back(raster, first)
            return first if back is None else back.next_row
