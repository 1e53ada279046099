"""A tile as bytes: PNG or GeoTIFF, with its place on Earth."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from mmrs.errors import OutputError
from mmrs.geo.raster import Georeference, allow_missing_georeference
from mmrs.geo.windows import Window


def window_georeference(georeference: Georeference, window: Window) -> Georeference:
    """Where a window of a raster lies.

    Control points and RPCs hold for the whole raster only, so a window keeps the CRS and the
    grid alone.
    """
    if georeference.transform is None:
        return Georeference()
    a, b, c, d, e, f = tuple(georeference.transform)[:6]
    corner = (a * window.col + b * window.row + c, d * window.col + e * window.row + f)
    return Georeference(georeference.crs, Affine(a, b, corner[0], d, e, corner[1]))


def png_can_hold(num_bands: int, dtype: str) -> bool:
    """Whether a PNG of so many bands is read back by MMSegmentation as it was written."""
    return dtype == "uint8" and num_bands in (1, 3)


def encode_tile(
    pixels: NDArray[Any],
    suffix: str,
    *,
    georeference: Georeference | None = None,
    nodata: float | None = None,
) -> dict[str, bytes]:
    """Encode one tile, without loss.

    Made in memory, so that a full disk is told by the write of the bytes (GDAL often tells
    neither in write nor in close), and a checksum needs no second reading.

    Args:
        pixels: (H, W) or (H, W, bands).
        suffix: ``.png`` (uint8, one or three bands) or ``.tif``.
        georeference: Where it lies. A PNG takes it as GDAL's ``.png.aux.xml`` beside it.
        nodata: Declared in a GeoTIFF.

    Returns:
        Ending -> content: the tile under ``suffix``, and perhaps its side file.

    Raises:
        ValueError: The suffix is another, or a PNG cannot hold the pixels.
        OutputError: GDAL cannot encode it.
    """
    bands = np.atleast_3d(pixels)
    height, width, count = bands.shape
    profile: dict[str, Any] = {"height": height, "width": width, "count": count}
    profile["dtype"] = bands.dtype.name
    place = georeference or Georeference()
    if suffix == ".png":
        if not png_can_hold(count, bands.dtype.name):
            raise ValueError(f"a PNG tile is uint8 of 1 or 3 bands, got {count} {bands.dtype}")
        profile |= {"driver": "PNG", "zlevel": 6}
    elif suffix == ".tif":
        profile |= {"driver": "GTiff", "compress": "deflate", "nodata": nodata, "crs": place.crs}
        # or GDAL takes the fourth of four bands of bytes for transparency
        profile["alpha"] = "NO"
        profile["predictor"] = 3 if np.issubdtype(bands.dtype, np.floating) else 2
        if place.transform is not None:
            profile["transform"] = place.transform
    else:
        raise ValueError(f"suffix must be .png or .tif, got {suffix}")
    try:
        with allow_missing_georeference(), MemoryFile(ext=suffix) as memory:
            with memory.open(**profile) as dataset:
                dataset.write(np.moveaxis(bands, -1, 0))
            content = memory.read()
    except RasterioError as error:
        raise OutputError(f"a tile cannot be encoded ({error})", fix="see --debug") from error
    files = {suffix: bytes(content)}
    if suffix == ".png" and place.transform is not None:
        files[".png.aux.xml"] = _side_file(place)
    return files


def _side_file(place: Georeference) -> bytes:
    """GDAL's side file: a PNG itself has no room for a place."""
    if place.transform is None:
        raise ValueError("a side file needs a grid")
    numbers = ", ".join(f"{value:.17g}" for value in place.transform.to_gdal())
    srs = ""
    if place.crs is not None:
        srs = f'  <SRS>{escape(place.crs.to_wkt())}</SRS>\n'
    return (
        f"<PAMDataset>\n{srs}  <GeoTransform>{numbers}</GeoTransform>\n</PAMDataset>\n"
    ).encode()
