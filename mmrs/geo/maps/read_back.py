"""Proof that a raster on the disk is what was written to it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from mmrs.errors import OutputError
from mmrs.geo.georeference import allow_missing_georeference
from mmrs.geo.maps.raster_options import BLOCK_PX

_FIX = "free space on the disk, and run again"


def checksum(pixels: NDArray[Any], before: int = 0) -> int:
    """CRC-32 of pixels in reading order, going on from those before."""
    return zlib.crc32(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data, before)


def facts(dataset: Any) -> tuple[Any, ...]:
    """What an open file says of its pixels, beside them."""
    transform = None if dataset.transform.is_identity else tuple(dataset.transform)[:6]
    return (
        str(dataset.nodata),  # NaN is not equal to itself
        dataset.dtypes,
        dataset.descriptions,
        dataset.scales,
        dataset.tags().get("CLASS_NAMES"),
        dataset.crs is None,
        transform,
        len(dataset.gcps[0]),
        dataset.rpcs is None,
    )


def read_back(
    written: Path,
    target: Path,
    checksums: Sequence[int],
    *,
    described: tuple[Any, ...],
    overviews: Sequence[int],
    is_cog: bool,
) -> None:
    """Decode every pixel and overview of a file, from its first to its last.

    Overviews have no checksum to hold them against: each of their tiles must be there, end inside
    the file and decode, deflated ones down to their own checksum.

    Args:
        written: The file.
        target: What it will become, for the messages.
        checksums: Of each band, as it was written.
        described: What ``facts`` said of the file as it was written.
        overviews: By how much each overview is smaller.
        is_cog: Whether it must be laid out as a Cloud Optimized GeoTIFF.

    Raises:
        OutputError: It cannot be read, holds other pixels, lacks a part of an overview, or is no
            COG where it must be.
    """
    try:
        with allow_missing_georeference(), rasterio.open(written) as dataset:
            if any(len(dataset.overviews(band)) != len(overviews) for band in dataset.indexes):
                raise ValueError("an overview is missing")
            layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
            is_same = facts(dataset) == described and _band_checksums(dataset) == list(checksums)
            is_deflate = dataset.profile.get("compress") == "deflate"
            for level, factor in enumerate((1, *overviews), start=-1):
                _check_tiles(dataset, written, level, factor, inflate=is_deflate and level >= 0)
            shape = dataset.shape
        for level, factor in enumerate(overviews):
            with (
                allow_missing_georeference(),
                rasterio.open(written, overview_level=level) as dataset,
            ):
                # by its size: the factor that GDAL tells is rounded, 127 of 128 at 20,000 columns
                if dataset.shape != tuple(-(-side // factor) for side in shape):
                    raise ValueError(f"overview {level} is of {dataset.shape} pixels")
                if not is_deflate:
                    _band_checksums(dataset)
    except (RasterioError, CPLE_BaseError, ValueError, zlib.error) as error:
        raise OutputError(f"cannot be read back ({error})", where=target, fix=_FIX) from error
    if not is_same:
        raise OutputError("reads back other than it was written", where=target, fix=_FIX)
    if is_cog and layout != "COG":
        raise OutputError("GDAL wrote it, but not as a COG", where=target, fix="write a GeoTIFF")


def _band_checksums(dataset: Any) -> list[int]:
    found = [0] * dataset.count
    for row in range(0, dataset.height, BLOCK_PX):
        rows = min(BLOCK_PX, dataset.height - row)
        # all bands at once: where a tile holds them all, it is decoded once
        pixels = dataset.read(window=RasterioWindow(0, row, dataset.width, rows))
        found = [checksum(band, before) for band, before in zip(pixels, found, strict=True)]
    return found


def _check_tiles(dataset: Any, written: Path, level: int, factor: int, *, inflate: bool) -> None:
    """Raise where a tile is missing, or ends behind the file: GDAL reads both without a word.

    ``level`` -1 is the raster itself, others are overviews, smaller by ``factor``.

    Decoders stop where a tile is full, which may be before its last bytes: ``inflate`` goes on to
    the checksum that follows.
    """
    size = written.stat().st_size
    with written.open("rb") as file:
        for name, band in _tiles(dataset, factor):
            ovr = None if level < 0 else level
            ask = partial(dataset.get_tag_item, dm="TIFF", bidx=band, ovr=ovr)
            begin, length = ask(f"BLOCK_OFFSET_{name}"), ask(f"BLOCK_SIZE_{name}")
            if not begin or not length or int(begin) + int(length) > size:
                where = "" if level < 0 else f" of overview {level}"
                raise ValueError(f"tile {name}{where}, band {band} is not whole")
            if inflate:
                file.seek(int(begin))
                zlib.decompress(file.read(int(length)))


def _tiles(dataset: Any, factor: int) -> Iterator[tuple[str, int]]:
    """(column_row, band) of every tile; of the first band alone where tiles hold all bands."""
    side = BLOCK_PX * factor
    together = dataset.profile.get("interleave") == "pixel"
    for band in (1,) if together else dataset.indexes:
        for row in range(-(-dataset.height // side)):
            for column in range(-(-dataset.width // side)):
                yield f"{column}_{row}", band
