"""Pictures of scenes as they are: how large, and which pixels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp

from mmrs.geo.raster import Raster
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window

_PICTURES = (".jpg", ".jpeg", ".png")
SUFFIXES = (*_PICTURES, ".tif", ".tiff")


def picture_size(path: str | Path) -> tuple[int, int]:
    """Height and width by the header alone.

    Raises:
        DataError: It cannot be read as an image.
    """
    try:
        # faster than GDAL, which matters for a million files; of rasters it knows few kinds
        if Path(path).suffix.lower() in _PICTURES:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(path) as picture:
                    return picture.height, picture.width
    except Exception:  # more pixels than it opens, or damage; its decoders raise what they like
        pass
    with Raster(path) as raster:
        return raster.height, raster.width


def read_picture(reader: WindowReader, path: str, window: Window | None = None) -> NDArray[Any]:
    """Pixels of a picture or raster, (height, width, bands).

    One band is given three times and a palette as its colours, unless the reader's bands were
    chosen. 8 bits stay so, other types become float32.

    Args:
        reader: Reads it.
        path: The file.
        window: Of it; None for all.

    Raises:
        DataError: The file is damaged, or has no such window.
    """
    raster = reader.raster(path)
    pixels, _, _ = reader.read(path, raster.full if window is None else window)
    if reader.bands is None and pixels.shape[2] == 1:
        if raster.dataset.colorinterp[raster.bands[0] - 1] == ColorInterp.palette:
            return _colours(raster)[pixels[..., 0]]
        # scenes without colour are saved with one band
        pixels = np.repeat(pixels, 3, axis=2)
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32, copy=False)


def _colours(raster: Raster) -> NDArray[np.uint8]:
    """(ids, 3), red, green and blue of every id that the type can hold."""
    colours = np.zeros((np.iinfo(raster.dtype).max + 1, 3), dtype=np.uint8)
    for number, colour in raster.dataset.colormap(raster.bands[0]).items():
        if number < len(colours):
            colours[number] = colour[:3]
    return colours
