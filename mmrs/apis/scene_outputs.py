"""The files of a finished scene, out of the rows that were kept of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.overlay import write_overlay
from mmrs.apis.scene_settings import SceneOutputs
from mmrs.apis.scene_stream import Scene
from mmrs.apis.window_protocol import WindowModel
from mmrs.geo.georeference import Georeference
from mmrs.geo.publish import Targets, publish
from mmrs.geo.raster_output import RasterOptions
from mmrs.geo.row_spool import RowSpool


def publish_scene(
    spool: RowSpool,
    scene: Scene,
    outputs: SceneOutputs,
    *,
    georeference: Georeference,
    model: WindowModel,
) -> NDArray[np.int64]:
    """Write what is wanted of a scene; where the class map lies, all the rest does.

    Returns:
        (256,), how often each value occurs in the class map.

    Raises:
        OutputError: A file cannot be written; those that were there before are untouched.
    """
    paths = outputs.paths(scene.out)
    counts = publish(
        spool,
        Targets(
            scene.out,
            probabilities=paths.get("probabilities"),
            confidence=paths.get("confidence"),
            entropy=paths.get("entropy"),
            options=RasterOptions(
                format=outputs.format, compress=outputs.compress, overviews=outputs.overviews
            ),
        ),
        georeference=georeference,
        classes=model.classes,
        palette=model.palette,
    )
    if "overlay" in paths:
        write_overlay(
            scene.image,
            scene.out,
            paths["overlay"],
            classes=model.classes,
            palette=model.palette,
        )
    return counts
