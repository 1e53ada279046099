"""The files of a finished scene, out of the rows that were kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.overlay import write_overlay
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.apis.scene.scene_stream import Scene
from mmrs.apis.window.window_protocol import WindowModel
from mmrs.errors import DataError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.georeference import Georeference
from mmrs.geo.maps.area_table import AreaTable
from mmrs.geo.maps.publish import Targets, publish
from mmrs.geo.maps.raster_output import RasterOptions, check_suffix
from mmrs.geo.pixel_area import PixelAreas, pixel_areas
from mmrs.geo.polygons.vectors import vector_output
from mmrs.geo.raster import Raster
from mmrs.geo.rows.memory_rows import MemoryRows
from mmrs.geo.rows.row_spool import RowSpool
from mmrs.geo.rows.scene_rows import SceneRows
from mmrs.geo.vrt import safe_vrt, sources_of


def publish_scene(
    spool: RowSpool,
    scene: Scene,
    outputs: SceneOutputs,
    *,
    georeference: Georeference,
    model: WindowModel,
    tags: Mapping[str, str],
) -> NDArray[np.int64]:
    """Write what is wanted of a scene; where the class map lies, all the rest does.

    Returns:
        (256,), how often each value occurs in the class map.

    Raises:
        OutputError: A file cannot be written; those that were there before are untouched.
    """
    out = spool.target
    paths = outputs.paths(out)
    with ExitStack() as others:
        sinks: list[Callable[[SceneRows], None]] = []
        table: AreaTable | None = None
        if "areas" in paths:
            areas_file = others.enter_context(atomic_path(paths["areas"]))
            table = AreaTable(model.classes, areas=_areas(georeference, spool.height, spool.width))
            push = table.push
            sinks.append(lambda rows: push(rows.labels))
        if "vectors" in paths:
            sinks.append(_vectors(others, paths["vectors"], spool, outputs, georeference, model))

        def finish() -> None:
            if table is not None:
                table.write_into(areas_file, paths["areas"])
            # polygons and areas appear before the rasters, none where one cannot be finished
            others.close()

        counts = publish(
            spool,
            Targets(
                out,
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
            tags=tags,
            sinks=sinks,
            finish=finish,
        )
    if "overlay" in paths:
        write_overlay(
            scene.image,
            out,
            paths["overlay"],
            classes=model.classes,
            palette=model.palette,
        )
    return counts


def _vectors(
    stack: ExitStack,
    path: Path,
    spool: RowSpool,
    outputs: SceneOutputs,
    georeference: Georeference,
    model: WindowModel,
) -> Callable[[SceneRows], None]:
    """What takes a scene's rows for its polygons; they appear as the stack is closed."""
    vectors = stack.enter_context(
        vector_output(
            stack.enter_context(atomic_path(path)),
            path,
            height=spool.height,
            width=spool.width,
            classes=model.classes,
            georeference=georeference,
            with_confidence=True,
            options=outputs.vector_options,
        )
    )
    return lambda rows: vectors.push(rows.labels, rows.confidence)


def _areas(georeference: Georeference, height: int, width: int) -> PixelAreas | None:
    return pixel_areas(georeference.transform, georeference.crs, height=height, width=width)


def check_outputs(
    pairs: Sequence[tuple[Path | Raster, Path | MemoryRows]], outputs: SceneOutputs
) -> None:
    """Look at the names of all files of a run, before anything is predicted.

    Args:
        pairs: (image, class map) of each scene.
        outputs: What is written beside the class maps.

    Raises:
        OutputError: A name is no file's that could be written, or it is another file's of the run.
    """
    images = [image.path if isinstance(image, Raster) else image for image, _ in pairs]
    taken = {key: f"is the image {image}" for image in images for key in _keys(image)}
    mosaics = [image for image in images if image.suffix.lower() == ".vrt"]
    sources_in = cache(_sources)
    for image, (_, out) in zip(images, pairs, strict=True):
        if isinstance(out, MemoryRows):
            continue
        check_suffix(out, "a class map")
        for path in (out, *outputs.paths(out).values()):
            if path.is_dir():
                raise OutputError("is a folder", where=path, fix="name a file to write")
            told = next((taken[key] for key in _keys(path) if key in taken), None)
            told = told or _source_of(path, mosaics, sources_in)
            if told is not None:
                raise OutputError(
                    f"would overwrite another file of this run: it {told}",
                    where=path,
                    fix="give each output a name of its own",
                )
            taken.update({key: f"is an output of {image}" for key in _keys(path)})


def _keys(path: Path) -> list[Path | tuple[int, int]]:
    """What is equal of two names of one file: also where only their case differs, to some disks."""
    try:
        stat = path.stat()
    except OSError:
        return [path.resolve()]
    return [path.resolve(), (stat.st_dev, stat.st_ino)]


def _source_of(
    path: Path, mosaics: Sequence[Path], sources_in: Callable[[Path], set[Path]]
) -> str | None:
    """Which of the VRTs among the images reads a file."""
    real = path.resolve()
    for image in mosaics if path.is_file() else ():
        # its sources lie in its folder; to look at all of them takes a while
        if image.resolve().parent in real.parents and real in sources_in(image):
            return f"is a part of the image {image}"
    return None


def _sources(mosaic: Path) -> set[Path]:
    try:
        return {file.resolve() for file in sources_of(safe_vrt(mosaic))}
    except (DataError, OSError):
        return set()  # told where it is opened
