"""The polygons of a preparation: checked before anything is written, read once a process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyogrio

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.converter import shorten
from mmrs.apis.prepare.job import PolygonLabels
from mmrs.apis.prepare.options import Options
from mmrs.errors import DataError
from mmrs.geo.polygon_file import attribute_text, read_polygons
from mmrs.geo.rasterize import Polygons

_OF_MASKS = ("annotations", "palette", "label_map", "threshold", "tolerance", "max_unknown_ratio")


def check_polygons(options: Options, classes: Sequence[str] = ()) -> None:
    """Refuse polygons that cannot be burnt, and options that mean nothing beside them.

    Args:
        options: With ``polygons``.
        classes: Names of which ``class_field`` must hold one.

    Raises:
        UsageError: An option is for masks only.
        DataError: The file cannot be read, or lacks the attribute or holds other values in it.
    """
    if options.polygons is None:
        return
    for name in _OF_MASKS:
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} has no meaning beside --polygons", fix="leave it out"
            )
    path = options.polygons
    read_polygons(path)
    if options.class_field is None:
        return
    fields = [str(field) for field in pyogrio.read_info(path)["fields"]]
    if options.class_field not in fields:
        raise DataError(
            f"polygons have no attribute {options.class_field!r}; there are "
            f"{', '.join(fields) or 'none'}",
            where=path,
            fix="name the one with the class by --class-field",
        )
    _, _, _, (values,) = pyogrio.raw.read(path, columns=[options.class_field], read_geometry=False)
    found = sorted({attribute_text(value) for value in values})
    unknown = [value for value in found if value not in classes]
    if unknown:
        raise DataError(
            f"attribute {options.class_field!r} holds {len(unknown)} values that --classes does "
            f"not name: {shorten([repr(value) for value in unknown])}",
            where=path,
            fix=f"--classes {' '.join(found[:20])}, or take those polygons out",
        )


@lru_cache(maxsize=4)
def cached_polygons(source: PolygonLabels, changed_ns: int) -> Polygons:
    """The polygons of a job, read once for all of its images.

    Args:
        source: Of the job.
        changed_ns: Time of the file's last change.

    Raises:
        DataError: As `read_polygons`.
    """
    del changed_ns  # part of the key only
    ids = dict(source.ids)
    polygons = read_polygons(
        source.path,
        attribute=source.class_field,
        id_of=ids or None,
        layer=source.layer,
    )
    if source.class_field is None:
        polygons = Polygons(
            polygons.path,
            polygons.geometries,
            np.full_like(polygons.ids, source.default_id),
            polygons.crs,
        )
    return polygons
