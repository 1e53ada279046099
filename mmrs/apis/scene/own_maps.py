"""Files that scene prediction wrote: they say so, and what they were made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from rasterio.errors import RasterioError

from mmrs.apis.scene.scene_settings import Settings, scene_fingerprint
from mmrs.apis.scene.scene_stream import Scene
from mmrs.errors import DataError
from mmrs.geo.maps.raster_output import SUFFIXES
from mmrs.geo.plain_files import open_plain
from mmrs.geo.raster import Raster

RUN_TAG = "MMRS_RUN"


def run_tags(scene: Scene, settings: Settings, source: Raster | None = None) -> dict[str, str]:
    """What a scene's class map says of all that decides what its files hold.

    Args:
        scene: The scene.
        settings: How it is predicted.
        source: The scene on its own grid, where it is open anyway.
    """
    fingerprint = scene_fingerprint(scene, settings, source)
    told = {"fingerprint": fingerprint, "outputs": asdict(settings.outputs)}
    content = json.dumps(told, sort_keys=True, default=str).encode()
    return {RUN_TAG: hashlib.sha256(content).hexdigest()}


def is_own_output(path: Path) -> bool:
    """Whether a raster is a class map, scores or a picture that an earlier run wrote.

    Only files that could be one are opened; those that cannot be read are nobody's.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        return read_tags(path).get("Software", "").startswith("mmrs ")
    if suffix not in SUFFIXES:
        return False
    tags = read_tags(path)
    return "CLASS_NAMES" in tags and tags.get("TIFFTAG_SOFTWARE", "").startswith("mmrs ")


def read_tags(path: Path) -> dict[str, str]:
    """The tags of a raster; none where it cannot be read, or names other files or servers."""
    try:
        with open_plain(path) as dataset:
            return dict(dataset.tags())
    except (DataError, RasterioError, OSError, UnicodeError):  # the last: of names
        return {}
