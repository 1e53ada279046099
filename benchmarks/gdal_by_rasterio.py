"""The few calls of GDAL's Python bindings that MMSegmentation's ``RSInferencer`` makes.

The bindings have no wheels and must be compiled against a GDAL of the system; rasterio's wheels
carry the same library.  ``use_it()`` lets the unchanged class run on that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from mmseg.apis import remote_sense_inferencer
from rasterio.windows import Window

GA_ReadOnly = 0  # GDAL's own name
GDT_Byte = 1


class Dataset:
    """An open dataset."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.RasterXSize, self.RasterYSize = dataset.width, dataset.height
        self.RasterCount = dataset.count

    def GetGeoTransform(self) -> Any:  # noqa: N802
        """Where it lies."""
        return self._dataset.transform

    def SetGeoTransform(self, transform: Any) -> None:  # noqa: N802
        """Say where it lies."""
        self._dataset.transform = transform

    def GetProjection(self) -> Any:  # noqa: N802
        """Its CRS."""
        return self._dataset.crs

    def SetProjection(self, crs: Any) -> None:  # noqa: N802
        """Set its CRS."""
        self._dataset.crs = crs

    def GetRasterBand(self, index: int) -> Band:  # noqa: N802
        """A band, counted from 1."""
        return Band(self._dataset, index)

    def ReadAsArray(self, *window: int) -> np.ndarray:  # noqa: N802
        """(bands, rows, columns) of a window."""
        return self._dataset.read(window=Window(*window) if window else None)

    def close(self) -> None:
        """Flush it, as letting go of the last reference does in the bindings."""
        self._dataset.close()


class Band:
    """A band of it."""

    def __init__(self, dataset: Any, index: int) -> None:
        self._dataset, self._index = dataset, index

    def WriteArray(self, values: np.ndarray, col: int = 0, row: int = 0) -> None:  # noqa: N802
        """Write a window."""
        height, width = values.shape
        window = Window(col, row, width, height)
        self._dataset.write(values.astype(np.uint8, copy=False), self._index, window=window)


class Driver:
    """GTiff."""

    def Create(self, path: str, width: int, height: int, bands: int, _: int) -> Dataset:  # noqa: N802
        """A new file of bytes, in GDAL's default layout: strips, not compressed."""
        size = {"width": width, "height": height, "count": bands}
        return Dataset(rasterio.open(path, "w", driver="GTiff", dtype="uint8", **size))


def Open(path: str, _: int = GA_ReadOnly) -> Dataset:  # noqa: N802
    """Open a file to read."""
    return Dataset(rasterio.open(path))


def GetDriverByName(name: str) -> Driver:  # noqa: N802
    """The only driver."""
    if name != "GTiff":
        raise ValueError(f"only GTiff is here, got {name}")
    return Driver()


def use_it() -> None:
    """Give it to MMSegmentation's module in place of the bindings."""
    import sys

    remote_sense_inferencer.gdal = sys.modules[__name__]
