"""A scene that is being predicted: its windows' scores in, its files out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from mmrs.apis.scene.crf_settings import CRFSettings
from mmrs.apis.scene.own_maps import run_tags
from mmrs.apis.scene.scene_band import make_band
from mmrs.apis.scene.scene_input import open_scene
from mmrs.apis.scene.scene_job import SceneJob
from mmrs.apis.scene.scene_outputs import publish_scene
from mmrs.apis.scene.scene_settings import Settings, scene_fingerprint
from mmrs.apis.scene.scene_stream import Scene
from mmrs.apis.window.window_protocol import WindowModel
from mmrs.geo.block_cache import cache_bytes
from mmrs.geo.maps.publish import count_labels
from mmrs.geo.raster import GDAL_CACHE_BYTES, Raster
from mmrs.geo.resampled import BackToGrid, ResampledRaster
from mmrs.geo.rows.memory_rows import MemoryRows
from mmrs.geo.rows.row_spool import RowSpool
from mmrs.geo.rows.scene_rows import SceneRows, Wanted

logger = logging.getLogger(__name__)


class SceneWriter:
    """Takes what the model says of one scene, keeps finished rows, publishes the files.

    Args:
        scene: What is to be predicted of it.
        model: What predicts.
        settings: How.

    Attributes:
        job: Takes the windows' scores.
    """

    def __init__(self, scene: Scene, model: WindowModel, settings: Settings) -> None:
        self._scene, self._model, self._settings = scene, model, settings
        with ExitStack() as stack:
            raster = stack.enter_context(open_predicted(scene, model, settings))
            source = raster.source if isinstance(raster, ResampledRaster) else raster
            self._georeference = source.georeference
            self._cache_bytes = _cache_bytes(raster, scene)
            self._tags = run_tags(scene, settings, source) if isinstance(scene.out, Path) else {}
            self._spool = stack.enter_context(open_spool(scene, source, model, settings))
            stack.push(self._forget_nothing)
            if isinstance(self._spool, RowSpool) and self._spool.space_warning is not None:
                logger.warning("warning: %s", self._spool.space_warning)
            take, wanted = self._spool.append, settings.outputs.wanted
            if settings.crf is not None:
                take, wanted = self._crf(settings.crf, source), Wanted(probabilities=True)
            self.job = SceneJob(
                scene.rows,
                make_band(model, scene.plan, settings.blend, wanted),
                take,
                to_grid=way_back(raster, needed_from(self._spool.rows, source, settings)),
                source=source,
                name=source.path,
            )
            self._stack = stack.pop_all()

    def _forget_nothing(self, kind: type[BaseException] | None, *_: object) -> None:
        # where a run fails before the first row, there is nothing to go on with
        if kind is not None and not self._spool.rows:
            self._spool.delete()

    def _crf(self, crf: CRFSettings, source: Raster) -> Callable[[SceneRows], None]:
        """What takes probabilities of rows and hands refined rows to the spool."""
        from mmrs.apis.scene.crf_pass import CRFPass  # it needs torch, which ONNX models do without

        return CRFPass(
            crf,
            source,
            rows=range(self._spool.rows, source.height),
            take=self._spool.append,
            threshold=self._model.threshold,
            wanted=self._settings.outputs.wanted,
            device=getattr(self._model, "device", "cpu"),
        ).append

    def publish(self) -> NDArray[np.int64]:
        """Write the files out of the rows that were kept; returns how often each value occurs."""
        with self._stack, rasterio.Env(GDAL_CACHEMAX=self._cache_bytes):
            if isinstance(self._spool, MemoryRows):
                return count_labels(self._spool.result().labels, len(self._model.classes))
            counts = publish_scene(
                self._spool,
                self._scene,
                self._settings.outputs,
                georeference=self._georeference,
                model=self._model,
                tags=self._tags,
            )
            self._spool.delete()
        return counts

    def close(self) -> None:
        """Let go of the files; the rows that were kept stay for a resume."""
        with self._stack:
            kept, height = self._spool.rows, self._spool.height
            if not kept or isinstance(self._spool, MemoryRows):
                self._spool.delete()
                return
            logger.warning(
                "%s: %d of %d rows are kept; --resume goes on from there",
                self._scene.out, kept, height,
            )  # fmt: skip

    def discard(self) -> None:
        """Let go of the files and of the rows."""
        with self._stack:
            self._spool.delete()


def open_predicted(scene: Scene, model: WindowModel, settings: Settings) -> Raster:
    """Open a scene as the model takes it; warnings were given when it was planned."""
    raster = open_scene(scene.image, model.contract, resample=settings.resample, warn=False)
    # until the Env around ends
    rasterio.env.set_gdal_config("GDAL_CACHEMAX", _cache_bytes(raster, scene))
    return raster


def _cache_bytes(raster: Raster, scene: Scene) -> int:
    # how many rows of its file a resampled scene reads at a time, it alone knows
    if isinstance(raster, ResampledRaster):
        return GDAL_CACHE_BYTES
    return cache_bytes(raster, scene.plan.window_height)


def open_spool(
    scene: Scene, source: Raster, model: WindowModel, settings: Settings
) -> RowSpool | MemoryRows:
    """Open the rows that are kept of a scene.

    Raises:
        OutputError: They cannot be written, or an interrupted run had other settings.
    """
    if isinstance(scene.out, MemoryRows):
        scene.out.begin(
            height=source.height,
            width=source.width,
            wanted=settings.outputs.wanted,
            num_classes=len(model.classes),
            georeference=source.georeference,
        )
        return scene.out
    return RowSpool(
        scene.out,
        fingerprint=scene_fingerprint(scene, settings, source),
        width=source.width,
        height=source.height,
        resume=settings.resume,
        wanted=settings.outputs.wanted,
        num_classes=len(model.classes),
        score_dtype=settings.outputs.score_dtype,
    )


def needed_from(first_row: int, source: Raster, settings: Settings) -> int:
    """The first row of a scene's own grid to be predicted, to have all from ``first_row`` on."""
    if settings.crf is None:
        return first_row
    return settings.crf.needed_rows(range(first_row, source.height), source.height).start


def way_back(raster: Raster, first_row: int) -> BackToGrid | None:
    """From a resampled scene to its own grid, from a row of that grid on."""
    if not isinstance(raster, ResampledRaster):
        return None
    return BackToGrid(
        raster.source.height,
        raster.source.width,
        from_height=raster.height,
        from_width=raster.width,
        first_row=first_row,
    )
