"""Arrays and open datasets as rasters: scenes that need not lie in a file."""

from __future__ import annotations

import copy
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError
from rasterio.vrt import WarpedVRT

from mmrs.errors import DataError
from mmrs.geo.gdal_errors import gdal_errors
from mmrs.geo.georeference import Georeference
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window

ARRAY_NAME = "array"  # what messages call an array, where a file has its path


@dataclass(frozen=True)
class ArrayHeader:
    """What the header of a file with these bands would say."""

    count: int
    colorinterp: tuple[ColorInterp, ...]


class ArrayRaster(Raster):
    """An array seen as a raster; nothing is copied but the windows that are read.

    Args:
        pixels: (H, W, bands), or (H, W) of one band; integers or floats.  Of a masked array, a
            pixel that is masked in all bands is no data.
        transform: Pixel (column, row) -> CRS coordinates; None: not known.
        crs: What ``rasterio.crs.CRS.from_user_input`` takes; None: not known.
        nodata: The value that means no data where all bands hold it.
        valid: (H, W) bool, which pixels hold data; all by default.
        bands: Which bands, and in which order, counted from 1; all by default.
        band_names: Of all bands of the array; () where they have none.

    Raises:
        DataError: The array is not what is said above, or a georeference is none.
    """

    in_memory = True
    bands_fix = (
        "give the array as (H, W, bands): np.moveaxis(array, 0, -1) makes it of (bands, H, W)"
    )

    def __init__(
        self,
        pixels: NDArray[Any],
        *,
        transform: Affine | None = None,
        crs: Any = None,
        nodata: float | None = None,
        valid: NDArray[np.bool_] | None = None,
        bands: Sequence[int] | None = None,
        band_names: Sequence[str] = (),
    ) -> None:
        self.path = Path(ARRAY_NAME)
        self._pixels = _checked_pixels(pixels)
        self.height, self.width, count = self._pixels.shape
        if band_names and len(band_names) != count:
            raise DataError(
                f"{len(band_names)} band names for {count} bands", where="band_names",
                fix="give one a band, in the order of the last axis",
            )  # fmt: skip
        self._all_names = tuple(band_names) or ("",) * count
        self._valid = _checked_valid(valid, pixels, self._pixels.shape[:2])
        self.dtype = self._pixels.dtype.name
        self.nodata = None if nodata is None else _as_held(nodata, self._pixels.dtype)
        self.georeference = Georeference(_checked_crs(crs), _checked_transform(transform))
        self._dataset = ArrayHeader(count, (ColorInterp.undefined,) * count)
        self._fingerprint: list[Any] | None = None
        self._is_float = self._pixels.dtype.kind == "f"
        self._has_mask = self.nodata is not None or self._valid is not None
        self._mask_is_nodata = self._valid is None
        self.has_invalid = self._is_float or self._has_mask
        self._choose(bands)

    def reopen(self, bands: Sequence[int] | None = None) -> ArrayRaster:
        """The same array with other bands; its pixels are shared."""
        other = copy.copy(self)
        other._choose(bands)
        return other

    def _choose(self, bands: Sequence[int] | None) -> None:
        count = self._dataset.count
        chosen = list(range(1, count + 1)) if bands is None else list(bands)
        if not chosen or not all(1 <= band <= count for band in chosen):
            raise DataError(
                f"it has {count} band{'' if count == 1 else 's'} of {self.dtype}, but bands "
                f"{chosen} are asked for",
                where=self.path,
                fix="give the array as (H, W, bands), with the bands in the order of the files "
                "of the training",
            )
        self._bands = chosen
        self._all_data_bands = set(chosen) == set(range(1, count + 1))
        self.count = len(chosen)
        self.band_names = tuple(self._all_names[band - 1] for band in chosen)

    def close(self) -> None:
        """Do nothing: the array is the caller's."""

    def fingerprint(self) -> list[Any]:
        """What tells this scene from others, for a resume: shape, type and a checksum."""
        if self._fingerprint is None:
            crc = zlib.crc32(repr(self.nodata).encode())
            for first in range(0, self.height, 64):
                rows = slice(first, first + 64)
                crc = zlib.crc32(self._pixels[rows].tobytes(), crc)
                if self._valid is not None:
                    crc = zlib.crc32(self._valid[rows].tobytes(), crc)
            self._fingerprint = [ARRAY_NAME, list(self._pixels.shape), self._pixels.dtype.str, crc]
        return self._fingerprint

    @property
    def slow_windows(self) -> None:
        """None: no window of an array is slow to read."""

    def _read(
        self,
        window: Window,
        bands: list[int] | None,
        shape: tuple[int, int] | None = None,
        resampling: Resampling = Resampling.nearest,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        rows = slice(max(0, window.row), max(0, window.row + window.height))
        cols = slice(max(0, window.col), max(0, window.col + window.width))
        if bands is None:
            return np.asarray(self._mask(rows, cols), dtype=np.uint8)
        found = self._pixels[rows, cols]
        if shape is not None:
            found = _shrunk(found, shape, smooth=resampling is Resampling.average)
        # as many bands in the same order are a view: no second copy
        natural = bands == list(range(1, self._dataset.count + 1))
        found = found if natural else found[..., [band - 1 for band in bands]]
        found = found.transpose(2, 0, 1)
        if out is not None:
            out[...] = found
            return out
        return np.array(found, dtype=found.dtype.newbyteorder("="))

    def _mask(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Which pixels are declared to hold data, by all bands, as GDAL has it."""
        pixels = self._pixels[rows, cols]
        valid = np.ones(pixels.shape[:2], dtype=bool)
        if self._valid is not None:
            valid &= self._valid[rows, cols]
        if self.nodata is not None:
            is_nan = np.isnan(self.nodata)
            is_nodata = np.isnan(pixels) if is_nan else pixels == self.nodata
            valid &= ~is_nodata.all(axis=-1)
        return valid


class DatasetRaster(Raster):
    """A dataset that the caller has open, seen as a raster; it stays open.

    Reads take turns, as GDAL's datasets ask for: use the dataset for nothing else meanwhile.

    Args:
        dataset: Open for reading: of a ``MemoryFile``, a ``WarpedVRT``, ...
        bands: As `Raster`.

    Raises:
        DataError: It is closed or not readable, or as `Raster`.
    """

    in_memory = True

    def __init__(self, dataset: Any, *, bands: Sequence[int] | None = None) -> None:
        self.path = Path(str(dataset.name))
        if dataset.closed or getattr(dataset, "mode", "r") == "w":
            what = "closed" if dataset.closed else "open for writing only"
            raise DataError(
                f"the dataset is {what}", where=self.path, fix="open it for reading, and keep it so"
            )
        self._dataset = dataset
        self._lock = threading.RLock()
        self._choose(bands)

    def _choose(self, bands: Sequence[int] | None) -> None:
        with self._lock, gdal_errors(self.path, "its header cannot be read"):
            self._read_header(bands)

    def reopen(self, bands: Sequence[int] | None = None) -> DatasetRaster:
        """The same dataset with other bands; both take turns."""
        other = copy.copy(self)
        other._choose(bands)
        return other

    def close(self) -> None:
        """Do nothing: the dataset is the caller's."""

    def _read(
        self,
        window: Window,
        bands: list[int] | None,
        shape: tuple[int, int] | None = None,
        resampling: Resampling = Resampling.nearest,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        with self._lock:
            return super()._read(window, bands, shape, resampling, out)


def file_of_dataset(dataset: Any) -> Path | None:
    """The file from which a dataset can be opened once more; None where it is not just a file.

    A view (VRT), what lies in memory or an archive, and a file that is being changed are not.
    """
    if isinstance(dataset, WarpedVRT) or dataset.driver == "VRT":
        return None
    if dataset.closed or getattr(dataset, "mode", "r") != "r":
        return None
    path = Path(str(dataset.name))
    if not path.is_file():
        return None
    try:
        with Raster(path) as raster:
            found = raster.dataset
            # a dataset may be one of its overviews, or one of several in the file
            same = found.shape == dataset.shape and found.count == dataset.count
            same = same and found.transform == dataset.transform
            return path if same and found.driver == dataset.driver else None
    except DataError:
        return None


def _checked_pixels(pixels: Any) -> NDArray[Any]:
    found = np.ma.getdata(pixels) if isinstance(pixels, np.ma.MaskedArray) else np.asarray(pixels)
    if found.ndim == 2:
        found = found[..., None]
    if found.ndim != 3 or 0 in found.shape:
        raise DataError(
            f"its shape is {found.shape}", where=ARRAY_NAME, fix="give (H, W, bands) or (H, W)"
        )
    if found.dtype.kind not in "uif":
        raise DataError(
            f"it holds {found.dtype.name}, not numbers of a pixel type", where=ARRAY_NAME,
            fix="convert it to the type of the files of the training (array.astype)",
        )  # fmt: skip
    return found


def _as_held(nodata: float, dtype: np.dtype[Any]) -> float:
    """A number as an array of this type would hold it: -3.4e38 is another one in 32 bits."""
    if dtype.kind != "f":
        return float(nodata)
    with np.errstate(over="ignore"):
        return float(dtype.type(nodata))


def _checked_valid(valid: Any, pixels: Any, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    masks = []
    if valid is not None:
        valid = np.asarray(valid)
        if valid.dtype != bool or valid.shape != shape:
            raise DataError(
                f"valid must be bool of shape {shape}, got {valid.dtype} of shape {valid.shape}",
                where=ARRAY_NAME,
            )
        masks.append(valid)
    if isinstance(pixels, np.ma.MaskedArray) and pixels.mask is not np.ma.nomask:
        mask = pixels.mask
        masks.append(~(mask if mask.ndim == 2 else mask.all(axis=-1)))
    return np.logical_and.reduce(masks) if masks else None


def _checked_crs(crs: Any) -> CRS | None:
    if crs is None:
        return None
    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise DataError(
            f"{crs!r} is no CRS that is known", where="crs", fix="give one such as 'EPSG:32633'"
        ) from error


def _checked_transform(transform: Any) -> Affine | None:
    if transform is None:
        return None
    try:
        made = Affine(*tuple(transform)[:6])
    except TypeError as error:
        raise DataError(
            f"{transform!r} is no transform", where="transform",
            fix="give an affine.Affine, or its six numbers a, b, c, d, e, f",
        ) from error  # fmt: skip
    return None if made == Affine.identity() else made


def _shrunk(pixels: NDArray[Any], shape: tuple[int, int], *, smooth: bool) -> NDArray[Any]:
    """(H, W, bands) at a smaller shape: means of the pixels, or the nearest ones."""
    height, width, _ = pixels.shape
    if not smooth:
        rows = (2 * np.arange(shape[0]) + 1) * height // (2 * shape[0])
        cols = (2 * np.arange(shape[1]) + 1) * width // (2 * shape[1])
        return pixels[rows][:, cols]
    rows, cols = (
        np.arange(count + 1) * length // count
        for count, length in zip(shape, (height, width), strict=True)
    )
    means = np.empty((*shape, pixels.shape[-1]), dtype=np.float64)
    for index, (first, last) in enumerate(pairwise(rows)):
        sums = pixels[first:last].sum(axis=0, dtype=np.float64)
        means[index] = np.add.reduceat(sums, cols[:-1], axis=0) / (last - first)
    means /= np.diff(cols)[:, None]
    if pixels.dtype.kind in "ui":
        means = np.rint(means)
    return means.astype(pixels.dtype)
