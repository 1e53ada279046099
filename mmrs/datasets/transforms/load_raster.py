"""Pixels of a GeoTIFF: any number of bands, any type, in the order of the file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import rasterio
from mmcv.transforms import BaseTransform
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NodataShadowWarning

from mmrs.errors import ConfigError, DataError
from mmrs.geo.raster import Raster, gdal_errors
from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadRaster(BaseTransform):
    """Read an image with rasterio, as float32 with the values of the file.

    MMSegmentation's ``LoadImageFromFile`` reads 8-bit RGB, its ``LoadSingleRSImageFromFile``
    needs GDAL's own bindings. Bands come in the order of the file, so the data preprocessor wants
    ``bgr_to_rgb=False``, and a mean and a deviation for each band in the units of the file.

    Args:
        bands: which bands, counted from 1 as rasterio and GDAL do; all by default.
        nodata: ``error`` refuses an image with pixels that hold no data (the declared value in
            every band, a mask, or transparency); ``keep`` feeds them to the network as they are,
            but 0 for those of their values that are not finite.

    Raises:
        ConfigError: an option is out of range.
        DataError: the file cannot be read, lacks a band, or holds no-data pixels or non-finite
            ones that it does not declare as such.
    """

    def __init__(
        self,
        *,
        bands: Sequence[int] | None = None,
        nodata: Literal["error", "keep"] = "error",
    ) -> None:
        super().__init__()
        if bands is not None and (not len(bands) or min(bands) < 1):
            raise ConfigError(
                f"bands must be numbers from 1 on, got {list(bands)}",
                where="LoadRaster.bands",
                fix="count bands from 1, such as [1, 2, 3]",
            )
        if nodata not in ("error", "keep"):
            raise ConfigError(
                f"nodata {nodata!r} is unknown",
                where="LoadRaster.nodata",
                fix="choose from error, keep",
            )
        self.bands = None if bands is None else list(bands)
        self.nodata = nodata

    def transform(self, results: dict) -> dict:
        """Fill ``img`` (H, W, bands) float32, ``img_shape`` and ``ori_shape``."""
        path = results["img_path"]
        # rasterio alone would follow a VRT to any other file, or a server; Raster does not
        with Raster(path) as raster, warnings.catch_warnings():
            warnings.simplefilter("ignore", NodataShadowWarning)  # nodata decides: as it should
            with gdal_errors(raster.path, "it cannot be read"):
                image = self._read(raster.dataset, path)
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

    def _read(self, dataset: rasterio.DatasetReader, path: str) -> NDArray[np.float32]:
        bands = self.bands or list(dataset.indexes)
        if max(bands) > dataset.count:
            raise DataError(
                f"it has {dataset.count} bands, band {max(bands)} is asked for",
                where=path,
                fix="set LoadRaster.bands to bands that every image has",
            )
        image = dataset.read(bands).astype(np.float32).transpose(1, 2, 0)
        finite = np.isfinite(image).all(axis=-1)
        if finite.all() and self.nodata == "keep":
            return np.ascontiguousarray(image)
        invalid = _invalid(dataset, bands)
        undeclared = ~finite & ~invalid
        if dataset.nodata is not None and np.isnan(dataset.nodata):
            undeclared &= np.isinf(image).any(axis=-1)
        if undeclared.any() or (self.nodata == "error" and not finite.all()):
            raise DataError(
                "it holds values that are not finite", where=path, fix="fill or leave out its gaps"
            )
        if self.nodata == "error" and invalid.any():
            raise DataError(
                f"{np.count_nonzero(invalid)} pixels hold no data",
                where=path,
                fix="leave such images out, give these pixels the label 255 and set nodata='keep'",
            )
        image[~np.isfinite(image)] = 0
        return np.ascontiguousarray(image)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bands={self.bands}, nodata={self.nodata!r})"


def _invalid(dataset: rasterio.DatasetReader, bands: list[int]) -> NDArray[np.bool_]:
    """Which pixels are declared to hold no data, (H, W)."""
    by_value = [b for b in dataset.indexes if MaskFlags.nodata in dataset.mask_flag_enums[b - 1]]
    if len(by_value) == dataset.count:
        # one dark band alone is data
        return np.asarray((dataset.read_masks(by_value) == 0).all(axis=0))
    # a fourth band that is read as data (near infrared) may be marked as transparency: then the
    # flags of the others point to it, and only to it
    reads_alpha = any(dataset.colorinterp[band - 1] == ColorInterp.alpha for band in bands)
    passed_over = {MaskFlags.all_valid, *([MaskFlags.alpha] if reads_alpha else [])}
    masked = [band for band in bands if not passed_over & {*dataset.mask_flag_enums[band - 1]}]
    if not masked:
        return np.zeros((dataset.height, dataset.width), dtype=bool)
    return np.asarray((dataset.read_masks(masked) == 0).any(axis=0))
