"""From the rows of a class map to a file of its polygons, in one pass and bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrs.errors import ConfigError, DataError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.georeference import Georeference
from mmrs.geo.pixel_area import PixelAreas, pixel_areas
from mmrs.geo.polygons.vector_file import check_classes, check_vector_target, vector_file
from mmrs.geo.polygons.vector_options import VectorOptions, VectorReport
from mmrs.geo.polygons.vector_output import VectorOutput

LabelRows = tuple[NDArray[np.uint8], NDArray[np.floating] | None]


@contextmanager
def vector_output(
    temporary: Path,
    target: str | Path,
    *,
    height: int,
    width: int,
    classes: Sequence[str],
    georeference: Georeference | None = None,
    with_confidence: bool = False,
    options: VectorOptions | None = None,
) -> Iterator[VectorOutput]:
    """Write the polygons of a class map to a temporary file that is then proven readable.

    Args:
        temporary: Where to, as ``mmrs.geo.atomic`` gives it.
        target: What it will be called: ``.gpkg``, ``.geojson`` or ``.parquet``.
        height: Rows.
        width: Columns.
        classes: Names, in the order of the indices.
        georeference: Of the map. Without a grid (none, or control points alone) polygons are in
            pixels, rows downwards, and carry no CRS.
        with_confidence: Every row comes with confidence, and polygons tell their mean.
        options: How regions become polygons.

    Yields:
        What takes the rows; call its ``finish`` before the block ends.

    Raises:
        ConfigError: An option has no meaning for this map.
        DataError: The georeference squeezes the map to a line.
        OutputError: The file cannot be written, or reads back other than it was written.
        EnvironmentError: GeoParquet is asked for and pyarrow is not installed.
    """
    target = Path(target)
    options = options or VectorOptions()
    reference = georeference or Georeference()
    check_classes(classes)
    areas = check_vectors(
        target, height=height, width=width, georeference=reference, options=options
    )
    with vector_file(
        temporary,
        target,
        classes=classes,
        crs=_crs(reference),
        with_m2=areas is not None,
        with_confidence=with_confidence,
        pixel_m=0.0 if areas is None else math.sqrt(areas.middle_m2),
    ) as file:
        output = VectorOutput(
            file,
            target,
            height=height,
            width=width,
            num_classes=len(classes),
            reference=reference,
            areas=areas,
            options=options,
        )
        yield output
        if output.report is None:
            output.finish()


def check_vectors(
    target: str | Path,
    *,
    height: int,
    width: int,
    georeference: Georeference,
    options: VectorOptions,
) -> PixelAreas | None:
    """Tell before hours of work that a map's polygons cannot be written so.

    Returns:
        The areas of the map's pixels, where they are known.

    Raises:
        ConfigError: Metres are asked for, and the size of a pixel is not known.
        DataError: The georeference squeezes the map to a line.
        OutputError: The suffix names no format, or GeoJSON is asked for without a CRS.
        EnvironmentError: GeoParquet is asked for and pyarrow is not installed.
    """
    check_vector_target(target, crs=_crs(georeference))
    try:
        areas = pixel_areas(georeference.transform, georeference.crs, height=height, width=width)
    except ValueError as error:
        raise DataError(str(error), where=target, fix="georeference it anew") from error
    if areas is None and options.needs_metres:
        raise ConfigError(
            "min_area_m2 and simplify_m need a map whose pixels have a known size",
            where=target,
            fix="use min_area_px and simplify_px",
        )
    return areas


def write_vectors(
    path: str | Path,
    rows: Iterable[LabelRows],
    *,
    height: int,
    width: int,
    classes: Sequence[str],
    georeference: Georeference | None = None,
    options: VectorOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VectorReport:
    """Write the polygons of a class map; the file appears whole or not at all.

    Args:
        path: ``.gpkg``, ``.geojson`` or ``.parquet``.
        rows: Labels (n, width) and confidence (n, width) or None, from the top down.
        height: Rows in all.
        width: Columns.
        classes: Names, in the order of the indices.
        georeference: As in ``vector_output``.
        options: As in ``vector_output``.
        progress: Called with (rows done, rows in all).

    Returns:
        What was written, and where every pixel went.

    Raises:
        MmrsError: As ``vector_output``; what ``path`` held before is then untouched.
        LabelError: A label is no class.
    """
    pieces = iter(rows)
    first = next(pieces, None)
    pieces = chain([] if first is None else [first], pieces)
    with (
        atomic_path(path) as temporary,
        vector_output(
            temporary,
            path,
            height=height,
            width=width,
            classes=classes,
            georeference=georeference,
            with_confidence=first is not None and first[1] is not None,
            options=options,
        ) as output,
    ):
        for labels, confidence in pieces:
            output.push(labels, confidence)
            if progress is not None:
                progress(output.rows, height)
        report = output.finish()
    return report


def _crs(reference: Georeference) -> object | None:
    """The CRS that polygons are in: none without a grid."""
    return None if reference.transform is None else reference.crs
