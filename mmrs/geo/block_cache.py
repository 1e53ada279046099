"""How much of a scene GDAL keeps in memory while it is read from the top down."""

from __future__ import annotations

import numpy as np

from mmrs.geo.raster import GDAL_CACHE_BYTES, Raster

_LEAST_BYTES = 16 * 2**20
_BLOCK_ROWS = 256


def cache_bytes(raster: Raster, rows: int) -> int:
    """What GDAL should keep of a raster of which so many rows are read at a time.

    GDAL fills whatever it is given before it lets go of anything, so a tall scene would take more
    memory than a low one.  Enough are twice these rows and a line of blocks on either side: a mask
    is read after the pixels that it belongs to, reading begins and ends inside of blocks, and a
    VRT keeps its own blocks beside those of its files.

    Args:
        raster: The scene.
        rows: Rows that are read at a time, at least 1.

    Returns:
        A number of bytes, from 16 MB to `GDAL_CACHE_BYTES`.
    """
    if rows < 1:
        raise ValueError(f"rows must be >= 1, got {rows}")
    line = raster.width * raster.count * np.dtype(raster.dtype).itemsize
    return min(GDAL_CACHE_BYTES, max(_LEAST_BYTES, 2 * (rows + 2 * _BLOCK_ROWS) * line))
