"""A part of a scene that is being predicted: its windows' scores in, its rows kept."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import cast

from mmrs.apis.scene.scene_band import make_band
from mmrs.apis.scene.scene_job import SceneJob
from mmrs.apis.scene.scene_settings import Settings, scene_fingerprint
from mmrs.apis.scene.scene_shares import Strip
from mmrs.apis.scene.scene_stream import Scene
from mmrs.apis.scene.scene_writer import open_spool
from mmrs.apis.window.window_protocol import WindowModel
from mmrs.geo.raster import Raster
from mmrs.geo.rows.row_spool import RowSpool, spool_path
from mmrs.geo.rows.spool_strips import strip_target

logger = logging.getLogger(__name__)


class StripWriter:
    """Takes what the model says of a strip; in place of `SceneWriter`, it publishes nothing.

    Args:
        scene: With the rows that are still wanted.
        strip: All rows of the strip.
        model: What predicts.
        settings: How.

    Attributes:
        job: Takes the windows' scores.
    """

    def __init__(self, scene: Scene, strip: Strip, model: WindowModel, settings: Settings) -> None:
        self._out, self._height = scene.out, len(strip.rows)
        self._spool = open_strip(scene, strip, model, settings)
        self.job = SceneJob(
            scene.rows,
            make_band(model, scene.plan, settings.blend, settings.outputs.wanted),
            self._spool.append,
            name=scene.image if isinstance(scene.image, Path) else scene.image.path,
        )

    def publish(self) -> None:
        """Let go of the rows, which stay: what becomes of them is settled later."""
        self._spool.close()

    def close(self) -> None:
        """Let go of the rows, which stay for a resume."""
        kept = self._spool.rows
        self._spool.close()
        if kept:
            logger.warning(
                "%s: %d of the %d rows of this process are kept; --resume goes on from there",
                self._out, kept, self._height,
            )  # fmt: skip

    def discard(self) -> None:
        """Let go of the rows, and forget them."""
        self._spool.delete()


def open_strip(scene: Scene, strip: Strip, model: WindowModel, settings: Settings) -> RowSpool:
    """Open the rows that are kept of a strip: of the first one, those of the scene.

    Raises:
        DataError: The scene cannot be read any more.
        OutputError: As `open_spool`.
    """
    # only cut scenes have strips, and those are files that are predicted on their own grid
    with Raster(cast(Path, scene.image)) as raster:
        if strip.rows.start == 0:
            return cast(RowSpool, open_spool(scene, raster, model, settings))
        fingerprint = scene_fingerprint(scene, settings, raster)
    return RowSpool(
        strip_target(cast(Path, scene.out), strip.rows),
        fingerprint={**fingerprint, "rows": [strip.rows.start, strip.rows.stop]},
        width=scene.plan.width,
        height=len(strip.rows),
        resume=settings.resume,
        wanted=settings.outputs.wanted,
        num_classes=len(model.classes),
        score_dtype=settings.outputs.score_dtype,
    )


def resume_strip(scene: Scene, strip: Strip, model: WindowModel, settings: Settings) -> Scene:
    """The scene with the rows of a strip that are still wanted.

    Raises:
        OutputError: The rows that were kept were made otherwise.
    """
    out = cast(Path, scene.out)
    path = spool_path(out if strip.rows.start == 0 else strip_target(out, strip.rows))
    if not settings.resume or not path.exists():
        return replace(scene, rows=strip.rows)
    with open_strip(scene, strip, model, settings) as spool:
        # a run of fewer processes may have kept more than this strip
        first = min(strip.rows.start + spool.rows, strip.rows.stop)
    return replace(scene, rows=range(first, strip.rows.stop))
