"""Reading pictures and scenes: pixels by window, what is valid, and where on Earth they lie."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from mmrs.errors import DataError
from mmrs.geo.gdal_errors import gdal_errors
from mmrs.geo.georeference import (
    Georeference,
    allow_missing_georeference,
    read_georeference,
    to_coordinates,
    window_transform,
    with_projection_file,
)
from mmrs.geo.ground_sampling import ground_sampling
from mmrs.geo.plain_files import open_plain
from mmrs.geo.vrt import is_vrt, safe_vrt
from mmrs.geo.windows import Window

# what belongs to a raster is found here too, wherever it is written
__all__ = [
    "Georeference",
    "Raster",
    "allow_missing_georeference",
    "gdal_errors",
    "to_coordinates",
    "window_transform",
]

# while a scene is read: of the memory GDAL takes 5 % by default;
# rasterio hands the number on in bytes, not in MB
GDAL_CACHE_BYTES = 128 * 2**20
MAX_BANDS = 4096  # hyperspectral sensors have some hundreds; a damaged header, 65535


class Raster:
    """A raster opened for reading; use it in a ``with`` block.

    Args:
        path: GeoTIFF, PNG, JPEG, JPEG 2000, ...; a VRT where it is a plain mosaic of such files
            in its own folder (``mmrs.geo.vrt``).
        bands: Which bands, and in which order, counted from 1 as GDAL does; by default all
            that are data. A band that is marked as alpha is data where it is named here.

    Attributes:
        height: Rows.
        width: Columns.
        count: Bands that are read; an alpha band is validity, not data.
        dtype: NumPy's name of the pixel type.
        georeference: Where it lies.
        has_invalid: Whether some pixels may be nodata, masked or transparent.
        nodata: The value declared to mean no data, or None.
        band_names: What the file calls the bands that are read; "" where it does not say.
        in_memory: Whether it is the caller's array or dataset instead of a file.

    Raises:
        DataError: If the file is missing, is not a raster, lacks a band, or its bands differ in
            type.
    """

    in_memory = False
    # how to mend a raster with other bands than are wanted; None: as of any file
    bands_fix: str | None = None

    def __init__(self, path: str | Path, *, bands: Sequence[int] | None = None):
        self.path = Path(path)
        self._dataset = _open(self.path)
        try:
            with gdal_errors(self.path, "its header cannot be read"):
                self._read_header(bands)
        except DataError:
            self._dataset.close()
            raise

    def _read_header(self, bands: Sequence[int] | None) -> None:
        dataset = self._dataset
        if dataset.count > MAX_BANDS:
            raise DataError(
                f"its header says that it has {dataset.count} bands; more than {MAX_BANDS} are "
                "not read",
                where=self.path,
                fix="the file is damaged; fetch it again",
            )
        if len(set(dataset.dtypes)) > 1:
            kinds = ", ".join(dict.fromkeys(dataset.dtypes))
            raise DataError(
                f"bands of different types: {kinds}",
                where=self.path,
                fix="convert them to one type",
            )
        is_alpha = [interp == ColorInterp.alpha for interp in dataset.colorinterp]
        data_bands = [index + 1 for index, alpha in enumerate(is_alpha) if not alpha]
        self._bands = data_bands if bands is None else self._checked(bands)
        self._all_data_bands = set(data_bands) <= set(self._bands)
        self.height: int = dataset.height
        self.width: int = dataset.width
        self.count = len(self._bands)
        self.dtype: str = dataset.dtypes[0]
        self.georeference = with_projection_file(read_georeference(dataset), self.path)
        self.nodata: float | None = dataset.nodata
        # each of these looks at all bands every time that it is asked
        names, all_flags = dataset.descriptions, dataset.mask_flag_enums
        self.band_names = tuple(names[band - 1] or "" for band in self._bands)
        flags = [all_flags[band - 1] for band in self._bands]
        self._is_float = np.issubdtype(np.dtype(self.dtype), np.floating)
        alpha_is_data = any(is_alpha[band - 1] for band in self._bands)
        self._has_mask = any(
            MaskFlags.all_valid not in flag and not (alpha_is_data and MaskFlags.alpha in flag)
            for flag in flags
        )
        # ERDAS and ENVI files may declare another value for each band (as text, for NaN is not NaN)
        one_value = len({str(value) for value in dataset.nodatavals}) == 1
        self._mask_is_nodata = one_value and all(MaskFlags.nodata in flag for flag in flags)
        self.has_invalid = self._is_float or self._has_mask

    def __enter__(self) -> Raster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def reopen(self, bands: Sequence[int] | None = None) -> Raster:
        """Open the same raster once more, as it is, with these bands.

        Raises:
            DataError: As `Raster`.
        """
        return Raster(self.path, bands=bands)

    @property
    def bands(self) -> tuple[int, ...]:
        """The bands that are read, counted from 1."""
        return tuple(self._bands)

    @property
    def gsd_m(self) -> float | None:
        """Side of a pixel on the ground in metres; None where nothing says where it lies.

        Raises:
            DataError: The georeference squeezes the raster to a line or a point.
        """
        reference = self.georeference
        try:
            sampling = ground_sampling(
                reference.transform, reference.crs, height=self.height, width=self.width
            )
        except ValueError as error:
            raise DataError(str(error), where=self.path, fix="georeference it anew") from error
        return None if sampling is None else sampling.mean_m

    @property
    def dataset(self) -> Any:
        """The open file as rasterio has it, for what this class does not do."""
        return self._dataset

    @property
    def full(self) -> Window:
        """The window of all pixels."""
        return Window(0, 0, self.height, self.width)

    def read(self, window: Window | None = None) -> NDArray[Any]:
        """Pixels of a window, (h, w, count) in the file's band order and type.

        Raises:
            DataError: If the file is damaged there.
        """
        window = window or self.full
        bottom, right = window.row + window.height, window.col + window.width
        if min(window[:2]) < 0 or bottom > self.height or right > self.width:
            return np.ascontiguousarray(np.moveaxis(self._read(window, self._bands), 0, -1))
        # GDAL puts the bands where they belong: a second pass costs as much as unpacking
        pixels = np.empty((window.height, window.width, self.count), dtype=self.dtype)
        self._read(window, self._bands, out=pixels.transpose(2, 0, 1))
        return pixels

    def read_valid(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Which pixels of a window hold data, (h, w).

        Nodata means that every band holds the nodata value (one dark band alone is data);
        a value that is not finite in any band is nodata too; masks and alpha (0) count as they are.

        Raises:
            DataError: If the file is damaged there.
        """
        window = window or self.full
        if not self.has_invalid:
            return np.ones((window.height, window.width), dtype=bool)
        valid = np.ones((window.height, window.width), dtype=bool)
        if self._has_mask:
            valid = self._read(window, None) > 0
        if self._is_float:
            valid &= np.isfinite(self._read(window, self._bands)).all(axis=0)
        return valid

    def read_with_valid(
        self, window: Window | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Pixels of a window, which of them are data, and how many are so without being declared.

        For training, where a value that is not finite spoils the weights: NaN and infinity in
        any band that is read are no data, whether or not the file says so.

        Returns:
            Pixels (h, w, count) in the file's type; valid (h, w); the number of pixels that are
            not finite but that no nodata value, mask or alpha marks.

        Raises:
            DataError: If the file is damaged there.
        """
        window = window or self.full
        pixels = self.read(window)
        valid = self.declared_valid(window, pixels)
        if not self._is_float:
            return pixels, valid, 0
        finite = np.isfinite(pixels).all(axis=-1)
        undeclared = int(np.count_nonzero(valid & ~finite))
        return pixels, valid & finite, undeclared

    def declared_valid(self, window: Window, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """Which pixels of a window are data by what the file declares, (h, w).

        Args:
            window: The window.
            pixels: What ``read`` gave for it.
        """
        if not self._has_mask:
            return np.ones(pixels.shape[:2], dtype=bool)
        if self._mask_is_nodata and self._all_data_bands and self.nodata is not None:
            # what GDAL would find in a second look at the same blocks
            if np.isnan(self.nodata):
                return ~np.isnan(pixels).all(axis=-1)
            return np.asarray((pixels != self.nodata).any(axis=-1))
        return np.asarray(self._read(window, None) > 0)

    @property
    def slow_windows(self) -> str | None:
        """Why small windows of this file are slow to read: its layout; None where they are not."""
        block_height, block_width = self._dataset.block_shapes[0]
        compression = self._dataset.profile.get("compress")
        if compression is None or block_width < self.width or self.width <= 1024:
            return None
        rows = "row" if block_height == 1 else f"{block_height} rows"
        return f"{compression} in strips of {rows} by {self.width} columns"

    def _checked(self, bands: Sequence[int]) -> list[int]:
        wrong = [band for band in bands if not 1 <= band <= self._dataset.count]
        if wrong or not bands:
            count = self._dataset.count
            raise DataError(
                f"it has {count} band{'' if count == 1 else 's'} of {self._dataset.dtypes[0]}, "
                f"but bands {list(bands)} are asked for",
                where=self.path,
                fix=f"choose bands from 1 to {count}, counted from 1",
            )
        return list(bands)

    def read_preview(self, max_side: int, *, smooth: bool = True) -> NDArray[Any]:
        """The whole raster shrunk to at most ``max_side`` pixels a side, (h, w, count).

        Args:
            max_side: Longest side of the result, in pixels.
            smooth: Average the pixels, else take the nearest (class maps need that).
        """
        scale = min(1.0, max_side / max(self.height, self.width))
        shape = (max(1, round(self.height * scale)), max(1, round(self.width * scale)))
        resampling = Resampling.average if smooth else Resampling.nearest
        return np.moveaxis(self._read(self.full, self._bands, shape, resampling), 0, -1)

    def _read(
        self,
        window: Window,
        bands: list[int] | None,
        shape: tuple[int, int] | None = None,
        resampling: Resampling = Resampling.nearest,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Bands of a window, (bands, h, w), or its mask, (h, w), where bands is None."""
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        rows = f"rows {window.row} to {window.row + window.height}"
        columns = f"columns {window.col} to {window.col + window.width}"
        told = f"cannot be read at {rows}, {columns}"
        with gdal_errors(self.path, told), _strict(self._dataset.driver):
            if bands is None:
                return np.asarray(self._dataset.dataset_mask(window=area))
            if out is not None:
                return np.asarray(self._dataset.read(bands, window=area, out=out))
            out_shape = None if shape is None else (len(bands), *shape)
            return np.asarray(
                self._dataset.read(bands, window=area, out_shape=out_shape, resampling=resampling)
            )


def _open(path: Path) -> Any:
    if not path.is_file():
        what = "is a folder, not a raster" if path.is_dir() else "no such file"
        raise DataError(what, where=path, fix="name an image or GeoTIFF")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        where = ascii(str(path))
        raise DataError("its name is not UTF-8", where=where, fix="rename it") from error
    if not is_vrt(path):
        return open_plain(path)
    checked = safe_vrt(path)
    with gdal_errors(path, "this VRT is not opened"), allow_missing_georeference(), rasterio.Env():
        return DatasetReader(checked, driver=["VRT"])


def _strict(driver: str) -> AbstractContextManager[Any]:
    """GDAL's way to read a whole PNG at once gives zeros, and no error, where the file is cut."""
    if driver == "PNG":
        return rasterio.Env(GDAL_PNG_WHOLE_IMAGE_OPTIM="NO")
    return nullcontext()
