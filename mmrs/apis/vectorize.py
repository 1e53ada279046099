"""Polygons and areas of a class map on disk; needs neither torch nor OpenMMLab."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from mmrs.errors import ConfigError, DataError, LabelError, OutputError
from mmrs.geo.atomic import make_folder
from mmrs.geo.georeference import to_coordinates
from mmrs.geo.maps.area_table import AreaTable
from mmrs.geo.palette import MAX_CLASSES, NODATA_LABEL
from mmrs.geo.polygons.vector_options import VectorOptions, VectorReport
from mmrs.geo.polygons.vectors import check_vectors, write_vectors
from mmrs.geo.raster import GDAL_CACHE_BYTES, Raster
from mmrs.geo.windows import Window

Progress = Callable[[int, int], None]  # rows done, rows in all

ROWS_AT_ONCE = 256  # as high as a tile of the maps that mmrs writes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VectorizedMap:
    """What was made of a class map.

    Attributes:
        vectors: The polygons that were written.
        areas: Areas of the classes in the map as it is, small regions included.
    """

    vectors: VectorReport
    areas: AreaTable

    def text(self) -> str:
        """The table of areas, and the file with what became of small regions."""
        return f"{self.areas.text()}\n{self.vectors.summary()}"


def vectorize(
    class_map: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str] | None = None,
    confidence: str | Path | None = None,
    options: VectorOptions | None = None,
    areas: str | Path | None = None,
    progress: Progress | None = None,
) -> VectorizedMap:
    """Write the polygons of a class map of any size, and count its areas.

    Args:
        class_map: One band of class indices; its nodata and 255 are in no polygon.
        out: GeoPackage (``.gpkg``), GeoJSON (``.geojson``) or GeoParquet (``.parquet``).
        classes: Names, in the order of the indices; by default those that the map carries.
        confidence: A raster of the same size with the confidence of every pixel, one band,
            with the scale and offset that the file tells.
        options: How regions become polygons.
        areas: A CSV file for the areas of the classes.
        progress: Called with (rows done, rows in all).

    Returns:
        What was written.

    Raises:
        ConfigError: An option has no meaning for this map, or no class names are known.
        DataError: A file cannot be read or is no class map.
        LabelError: A label is no class.
        OutputError: A file cannot be written; what was there before is then untouched.
        EnvironmentError: GeoParquet is asked for and pyarrow is not installed.
    """
    options = options or VectorOptions()
    _check_outputs([class_map, *([] if confidence is None else [confidence])], out, areas)
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), ExitStack() as stack:
        raster = stack.enter_context(Raster(class_map))
        _check_map(raster)
        names = class_names(raster) if classes is None else _checked(classes)
        scores = None if confidence is None else stack.enter_context(Raster(confidence))
        if scores is not None:
            _check_confidence(scores, raster)
        reference = raster.georeference
        if reference.crs is None or reference.transform is None:
            logger.warning(
                "warning: %s: has no CRS or grid, so its polygons are in %s",
                class_map,
                "pixels" if reference.transform is None else "coordinates without a CRS",
            )
        pixel_area = check_vectors(
            out,
            height=raster.height,
            width=raster.width,
            georeference=reference,
            options=options,
        )
        table = AreaTable(names, areas=pixel_area)
        report = write_vectors(
            out,
            _rows(raster, scores, table),
            height=raster.height,
            width=raster.width,
            classes=names,
            georeference=reference,
            options=options,
            progress=progress,
        )
    if areas is not None:
        table.write_csv(areas)
    return VectorizedMap(report, table)


def class_names(raster: Raster) -> tuple[str, ...]:
    """The names of the classes that a map carries in its tag ``CLASS_NAMES``.

    Raises:
        DataError: It carries none.
    """
    try:
        names: Any = json.loads(raster.dataset.tags().get("CLASS_NAMES") or "")
        if isinstance(names, list):
            return _checked([str(name) for name in names])
    except ValueError:
        pass
    raise DataError(
        "it does not name its classes", where=raster.path, fix="name them in order with --classes"
    )


def _rows(
    raster: Raster, scores: Raster | None, table: AreaTable
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.floating] | None]]:
    for first in range(0, raster.height, ROWS_AT_ONCE):
        window = Window(first, 0, min(ROWS_AT_ONCE, raster.height - first), raster.width)
        labels = _labels(raster, window)
        try:
            table.push(labels)
        except LabelError as error:
            raise LabelError(error.what, where=raster.path, fix=error.fix) from error
        yield labels, None if scores is None else _confidence(scores, window)


def _labels(raster: Raster, window: Window) -> NDArray[np.uint8]:
    pixels = raster.read(window)[..., 0]
    valid = raster.read_valid(window)
    wrong = pixels[valid & ((pixels < 0) | (pixels > NODATA_LABEL))]
    if len(wrong):
        raise LabelError(
            f"value {wrong[0]} is no class index from 0 to {MAX_CLASSES - 1}",
            where=raster.path,
            fix="give the map that tools/predict.py wrote",
        )
    return np.where(valid, pixels, NODATA_LABEL).astype(np.uint8)


def _confidence(scores: Raster, window: Window) -> NDArray[np.float32]:
    band = scores.bands[0] - 1
    scale, offset = scores.dataset.scales[band], scores.dataset.offsets[band]
    numbers = scores.read(window)[..., 0] * np.float32(scale) + np.float32(offset)
    return np.where(scores.read_valid(window), numbers, np.nan).astype(np.float32)


def _check_map(raster: Raster) -> None:
    if raster.count != 1 or np.dtype(raster.dtype).kind not in "iu":
        raise DataError(
            f"{raster.count} bands of {raster.dtype}, but a class map is one band of ids",
            where=raster.path,
            fix="give the map that tools/predict.py wrote",
        )


def _check_confidence(scores: Raster, raster: Raster) -> None:
    if scores.count != 1:
        raise DataError(
            f"{scores.count} bands, but confidence is one",
            where=scores.path,
            fix="give the raster that tools/predict.py --confidence wrote",
        )
    if (scores.height, scores.width) != (raster.height, raster.width):
        raise DataError(
            f"{scores.height} x {scores.width} pixels, but {raster.path} has {raster.height} x "
            f"{raster.width}",
            where=scores.path,
            fix="give the confidence of this map",
        )
    if _lies_elsewhere(scores, raster):
        raise DataError(
            f"lies elsewhere than {raster.path}: their CRS or grids differ",
            where=scores.path,
            fix="give the confidence of this map",
        )


def _lies_elsewhere(one: Raster, other: Raster) -> bool:
    """Whether rasters of one size say that they are of different places."""
    first, second = one.georeference, other.georeference
    if first.crs is not None and second.crs is not None and first.crs != second.crs:
        return True
    if first.transform is None or second.transform is None:
        return False
    tenth = abs(second.transform.determinant) ** 0.5 / 10  # of a pixel
    return any(
        math.dist(
            to_coordinates(first.transform, col, row), to_coordinates(second.transform, col, row)
        )
        > tenth
        for row in (0, one.height)
        for col in (0, one.width)
    )


def _checked(classes: Sequence[str]) -> tuple[str, ...]:
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise ConfigError(
            f"{len(classes)} classes", where="--classes", fix=f"name 1 to {MAX_CLASSES} classes"
        )
    return tuple(classes)


def _check_outputs(inputs: Sequence[str | Path], out: str | Path, areas: str | Path | None) -> None:
    taken = {Path(path).resolve() for path in inputs}
    for path in [out, *([] if areas is None else [areas])]:
        if Path(path).resolve() in taken:
            raise OutputError("would overwrite another file of this run", where=path)
        taken.add(Path(path).resolve())
    if areas is not None:
        if Path(areas).suffix.lower() != ".csv":
            raise OutputError(
                "the table of areas is a CSV", where=areas, fix="end its name in .csv"
            )
        make_folder(Path(areas))  # it is written last, and should not be what fails then
