"""One image of a data set: what its header says, and whether every block of it can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp

from mmrs.apis.checks.data_files import head_of, quiet_pillow
from mmrs.errors import DataError
from mmrs.geo.checksums import verify_checksums
from mmrs.geo.raster import Georeference, Raster, gdal_errors
from mmrs.geo.windows import Window

_WINDOW_VALUES = 6_000_000  # of all bands, decoded at a time, whatever the size of the raster


@dataclass(frozen=True)
class ImageFacts:
    """The header of an image.

    Attributes:
        height: Rows.
        width: Columns.
        bands: Bands of data, alpha aside.
        dtype: NumPy's name of the pixel type.
        alpha: Whether there is a band of transparency.
        palette: Whether the one band is an index of colours.
        georeference: Where it lies.
        keeps_place: Whether the format is one whose files usually say where they lie.
        is_raster: Whether GDAL reads it; else only Pillow does.
        has_invalid: Whether some pixels may be nodata, masked, transparent or not finite.
    """

    height: int
    width: int
    bands: int
    dtype: str
    alpha: bool = False
    palette: bool = False
    georeference: Georeference = field(default_factory=Georeference)
    keeps_place: bool = False
    is_raster: bool = True
    has_invalid: bool = False

    @property
    def kind(self) -> str:
        """Bands and type in words."""
        bands = "1 band" if self.bands == 1 else f"{self.bands} bands"
        return f"{bands} of {self.dtype}" + (" with a palette" if self.palette else "")


class BandSums:
    """Count, sums and extremes of bands; those of parts add up to those of the whole."""

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.sums = np.zeros(bands)
        self.squares = np.zeros(bands)
        self.low = np.full(bands, np.inf)
        self.high = np.full(bands, -np.inf)

    def add_pixels(self, pixels: NDArray[Any]) -> None:
        """Count valid pixels, (N, bands)."""
        if not len(pixels):
            return
        self.count += len(pixels)
        self.low = np.minimum(self.low, pixels.min(axis=0))
        self.high = np.maximum(self.high, pixels.max(axis=0))
        values = pixels.astype(np.float64)
        self.sums += values.sum(axis=0)
        self.squares += np.einsum("nb,nb->b", values, values)

    def add(self, other: BandSums) -> None:
        """Count what another has counted of as many bands."""
        self.count += other.count
        self.sums += other.sums
        self.squares += other.squares
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each band."""
        return self.sums / max(1, self.count)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each band."""
        return np.sqrt(np.maximum(0.0, self.squares / max(1, self.count) - self.mean**2))


@dataclass
class Decoded:
    """What reading every pixel of an image showed.

    Attributes:
        sums: Of the valid pixels; None where only Pillow reads the file.
        nodata: Pixels that nodata, a mask or transparency declare to be none.
        undeclared: Pixels that are not finite without being declared.
        labelled: Of both, those that the label counts as a class.
        first: (row, col) of the first of those that the label counts, or of all.
    """

    sums: BandSums | None = None
    nodata: int = 0
    undeclared: int = 0
    labelled: int = 0
    first: tuple[int, int] | None = None


def look_at_image(path: str, *, what: str = "an image") -> ImageFacts:
    """Read the header of an image or a label.

    Raises:
        DataError: It is empty, or nothing can read it.
    """
    if os.path.getsize(path) == 0:
        raise DataError(
            f"cannot be read as {what}: the file is empty (0 bytes)",
            where=path,
            fix="fetch it again, or take it out of the data set",
        )
    try:
        with Raster(path) as raster, gdal_errors(raster.path, "its header cannot be read"):
            colours = raster.dataset.colorinterp
            return ImageFacts(
                height=raster.height,
                width=raster.width,
                bands=raster.count,
                dtype=raster.dtype,
                alpha=ColorInterp.alpha in colours,
                palette=ColorInterp.palette in colours,
                georeference=raster.georeference,
                has_invalid=raster.has_invalid,
                keeps_place=raster.dataset.driver in ("GTiff", "COG", "HFA", "JP2OpenJPEG", "VRT"),
            )
    except DataError as error:
        facts = _pillow_facts(path)
        if facts is not None:
            return facts
        if "bands of different types" in error.what or "VRT" in error.what:
            raise
        raise DataError(
            f"cannot be read as {what}",
            where=path,
            fix=f"replace it, or take it out of the data set; it begins with {head_of(path)}",
        ) from error


def decode_image(path: str, facts: ImageFacts, labels: NDArray | None, ignore: int) -> Decoded:
    """Read every pixel, a few million at a time.

    Args:
        path: The image.
        facts: Its header.
        labels: (H, W) train ids of the image's own size, to tell which pixels without data are
            counted as a class; or None.
        ignore: The train id that does not count.

    Raises:
        DataError: A part cannot be read.
    """
    found = Decoded()
    verify_checksums(path)
    if not facts.is_raster:
        _decode_with_pillow(path)
        return found
    if labels is not None and labels.shape != (facts.height, facts.width):
        labels = None
    with Raster(path) as raster:
        if (facts.height, facts.width) != (raster.height, raster.width):
            labels = None  # turned by its EXIF: labels lie on what a viewer shows
        found.sums = BandSums(raster.count)
        for window in _windows(raster):
            pixels, valid, undeclared = raster.read_with_valid(window)
            found.sums.add_pixels(
                pixels.reshape(-1, raster.count) if valid.all() else pixels[valid]
            )
            found.undeclared += undeclared
            found.nodata += int(valid.size - np.count_nonzero(valid)) - undeclared
            _note_labelled(found, window, valid, labels, ignore)
    return found


def _note_labelled(
    found: Decoded, window: Window, valid: NDArray[np.bool_], labels: NDArray | None, ignore: int
) -> None:
    gaps = ~valid
    if not gaps.any():
        return
    counted = gaps if labels is None else gaps & (labels[window.slices] != ignore)
    if labels is not None:
        found.labelled += int(np.count_nonzero(counted))
    if counted.any() and found.first is None:
        row, col = np.unravel_index(int(counted.argmax()), counted.shape)
        found.first = (window.row + int(row), window.col + int(col))


def _windows(raster: Raster) -> Iterator[Window]:
    """Whole blocks, as many as the limit allows, so that each is decoded once."""
    block_height, block_width = raster.dataset.block_shapes[0]
    pixels = max(1, _WINDOW_VALUES // raster.count)
    width = raster.width
    if block_width < raster.width and block_height * raster.width > pixels:
        width = block_width * max(1, pixels // (block_height * block_width))
    height = block_height * max(1, pixels // (block_height * width))
    for row in range(0, raster.height, height):
        for col in range(0, raster.width, width):
            yield Window(row, col, min(height, raster.height - row), min(width, raster.width - col))


def _pillow_facts(path: str) -> ImageFacts | None:
    try:
        with quiet_pillow(), Image.open(path) as picture:
            bands = len(picture.getbands())
            alpha = picture.mode in ("LA", "RGBA", "PA")
            dtype = {"F": "float32", "I": "int32"}.get(picture.mode[:1], "uint8")
            if picture.mode.startswith("I;16"):
                dtype = "uint16"
            return ImageFacts(
                height=picture.height,
                width=picture.width,
                bands=bands - alpha,
                dtype=dtype,
                alpha=alpha,
                palette=picture.mode == "P",
                is_raster=False,
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _decode_with_pillow(path: str) -> None:
    try:
        with quiet_pillow(), Image.open(path) as picture:
            picture.load()
    except Exception as error:  # its decoders raise what they like
        raise DataError(
            f"cannot be read as an image ({' '.join(str(error).split())[:200]})",
            where=path,
            fix="the file is damaged; fetch it again",
        ) from error
