"""Labels on another grid, or in another CRS, as seen from the grid of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from mmrs.errors import DataError
from mmrs.geo.raster import Raster, gdal_errors
from mmrs.geo.windows import Window


class AlignedLabels:
    """Labels as seen from the grid of an image: nearest neighbours, nothing where there are none.

    Args:
        path: The label raster.
        image: What gives the grid.

    Raises:
        DataError: One of the two has no CRS or no grid, or the labels cannot be opened.
    """

    def __init__(self, path: str | Path, image: Raster) -> None:
        self.path = Path(path)
        self._labels = Raster(path)
        for raster in (self._labels, image):
            if raster.georeference.crs is None or raster.georeference.transform is None:
                self._labels.close()
                raise DataError(
                    "it has no CRS or no grid, so labels and image cannot be aligned",
                    where=raster.path,
                    fix="give it one (gdal_edit.py -a_srs ... -a_ullr ...), or leave align_labels "
                    "out where the two have equal pixels",
                )
        self._grid = {
            "crs": image.georeference.crs,
            "transform": image.georeference.transform,
            "width": image.width,
            "height": image.height,
            "tolerance": 0.001,  # of a pixel: nearest should mean nearest
        }
        self._nodata = _nodata_value(self._labels)
        self._where: WarpedVRT | None = None
        with gdal_errors(self.path, "cannot be brought to the grid of an image"):
            self._open()

    def _open(self) -> None:
        """Make the views: of the labels and, where they cannot tell themselves, of where any are.

        GDAL fills what lies outside with the nodata value, or marks it by transparency; but the
        transparency of a view is right for unsigned types of 8 and 16 bits only. Of others it
        says that there is data everywhere, and class 0 would be invented outside.
        """
        source = self._labels.dataset
        marked = self._nodata is not None or ColorInterp.alpha in source.colorinterp
        plain = self._labels.dtype in ("uint8", "uint16")
        options = {} if self._nodata is not None else {"src_nodata": None}
        self._vrt = WarpedVRT(source, **self._grid, **options, add_alpha=not marked and plain)
        if not marked and not plain:
            self._where = WarpedVRT(
                source, **self._grid, src_nodata=None, dtype="uint8", add_alpha=True
            )

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Labels (h, w, bands) of a window of the image, and where there are any, (h, w).

        Raises:
            DataError: The file is damaged there.
        """
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        bands = list(range(1, self._labels.count + 1))
        with gdal_errors(self.path, "cannot be read"):
            pixels = np.moveaxis(self._vrt.read(bands, window=area), 0, -1)
            if self._nodata is not None:
                valid = _differs(pixels, self._nodata).any(axis=-1)
            elif self._where is not None:
                valid = self._where.read(self._where.count, window=area) > 0  # the band added
            else:
                valid = self._vrt.dataset_mask(window=area) > 0
        if pixels.dtype.kind == "f":
            valid &= np.isfinite(pixels).all(axis=-1)
        return np.ascontiguousarray(pixels), np.asarray(valid)

    def close(self) -> None:
        """Close the file."""
        for view in (self._vrt, self._where):
            if view is not None:
                view.close()
        self._labels.close()


def _nodata_value(labels: Raster) -> float | None:
    """The value that marks missing labels, where it does and a pixel can hold it."""
    nodata, dtype = labels.nodata, np.dtype(labels.dtype)
    by_value = all(MaskFlags.nodata in flags for flags in labels.dataset.mask_flag_enums)
    if nodata is None or not by_value:
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= nodata <= limits.max or nodata != round(nodata):
            return None
    return nodata


def _differs(pixels: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(pixels) if np.isnan(nodata) else pixels != nodata)
