"""The files of a finished scene, out of the rows that were kept of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.scene_settings import SceneOutputs
from mmrs.apis.scene_stream import Scene
from mmrs.apis.window_protocol import WindowModel
from mmrs.geo.class_map import write_class_map
from mmrs.geo.raster import Georeference
from mmrs.geo.row_spool import RowSpool


def publish_scene(
    spool: RowSpool,
    scene: Scene,
    outputs: SceneOutputs,
    *,
    georeference: Georeference,
    model: WindowModel,
) -> NDArray[np.int64]:
    """Write what is wanted of a scene; the class map appears last.

    Returns:
        (256,), how often each value occurs in the class map.

    Raises:
        OutputError: A file cannot be written; those that were there before are untouched.
    """
    counts = np.zeros(256, dtype=np.int64)
    with write_class_map(
        scene.out,
        height=spool.height,
        width=spool.width,
        classes=model.classes,
        palette=model.palette,
        georeference=georeference,
    ) as writer:
        for rows in spool.read():
            counts += np.bincount(rows.labels.ravel(), minlength=256)
            writer.write_rows(rows.labels)
    return counts
