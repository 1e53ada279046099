"""What tells whether a raster is still what it was: its files, its gaps, its place."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

from mmrs.geo.georeference import Georeference
from mmrs.geo.raster import Raster
from mmrs.geo.vrt import sources_of

# what GDAL reads beside a file that holds pixels; of other side files (.aux.xml, world files) what
# they say counts: programs that show a raster write statistics there
_MASKS = (".msk", ".MSK")
_OVERVIEWS = (".ovr", ".OVR")


def raster_state(raster: Raster, *, overviews: bool = False) -> dict[str, Any]:
    """What decides which pixels a raster gives, which of them hold data, and where they lie.

    Args:
        raster: Opened from a file, on its own grid.
        overviews: Whether it is read at another pixel size, which GDAL may take overviews for.

    Returns:
        As JSON can hold it: ``image``, name, bytes and time of change of each file that holds
        pixels (of a VRT, its sources); ``image's gaps``; ``place``, see `place_state`.

    Raises:
        OSError: It is gone.
    """
    path, dataset = raster.path, raster.dataset
    gaps = [
        [str(value) for value in dataset.nodatavals],
        [interp.name for interp in dataset.colorinterp],
        [sorted(flag.name for flag in flags) for flags in dataset.mask_flag_enums],
    ]
    files: list[Path] = [path]
    told: list[Any] = []
    if dataset.driver == "VRT":
        # it is opened as its checked text, in which those that it names stand too
        files += sources_of(dataset.name)
        text = dataset.name.replace(str(path.resolve().parent), "")
        told.append(zlib.crc32(text.encode()))
    endings = _MASKS + _OVERVIEWS if overviews else _MASKS
    beside = [Path(f"{file}{ending}") for file in files for ending in endings]
    beside.append(path.with_suffix(".ige"))  # the pixels of a large .img
    told += [_stat(file) for file in (*files, *filter(Path.is_file, beside))]
    return {"image": told, "image's gaps": gaps, "place": place_state(raster.georeference)}


def _stat(file: Path) -> list[Any]:
    stat = file.stat()
    return [file.name, stat.st_size, stat.st_mtime_ns]


def place_state(reference: Georeference) -> str:
    """A checksum of where a raster lies."""
    points = [point.asdict() for point in reference.gcps]
    for point in points:
        point.pop("id", None)  # made up anew whenever a file without names is opened
    rpcs = None if reference.rpcs is None else sorted(reference.rpcs.to_gdal().items())
    told = [
        str(reference.crs), None if reference.transform is None else tuple(reference.transform),
        points, str(reference.gcps_crs), rpcs,
    ]  # fmt: skip
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]
