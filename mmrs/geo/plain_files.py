"""Rasters that hold their own pixels, and open nothing outside of them.

A list of drivers alone is not enough: a GeoTIFF, or the ``.aux.xml`` beside it, can name any file
or server as its overviews, and GDAL opens what lies beside as ``.ovr`` or ``.msk`` with any driver.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from mmrs.errors import DataError
from mmrs.geo.gdal_errors import short_message
from mmrs.geo.georeference import allow_missing_georeference

# those that need a server, or other files than their own, are left out
DRIVERS = ("GTiff", "COG", "PNG", "JPEG", "JP2OpenJPEG", "BMP", "WEBP", "HFA", "ENVI")
_COMPANIONS = (".ovr", ".OVR", ".msk", ".MSK", ".aux", ".AUX")
_HFA = b"EHFA_HEADER_TAG"
_COMPANION_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", _HFA)
_MAX_DEPTH = 4  # overviews of overviews


def open_plain(path: Path) -> Any:
    """Open a raster of rasterio's that reads nothing but its own files.

    Raises:
        DataError: It is none of the formats, or it names files as its overviews or mask that could
            be anything.
    """
    try:
        # rasterio.open takes one driver only
        with allow_missing_georeference(), rasterio.Env():
            dataset = DatasetReader(path, driver=list(DRIVERS))
    except (RasterioError, CPLE_BaseError) as error:
        raise DataError(
            f"not a raster that can be read ({short_message(error, path)})",
            where=path,
            fix="give a GeoTIFF, PNG, JPEG or JPEG 2000",
        ) from error
    try:
        _check(dataset, path, path, depth=1)
    except BaseException:
        dataset.close()
        raise
    return dataset


def _check(dataset: Any, path: Path, image: Path, depth: int) -> None:
    named = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    if named is not None:
        raise DataError(
            f"names another file as its overviews: {named[:200]!r}",
            where=image,
            fix=f"if you trust it: gdal_translate {image.name} {image.stem}_plain.tif",
        )
    for companion in _companions(path):
        with companion.open("rb") as file:
            head = file.read(16)
        if companion.suffix.lower() == ".aux" and not head.startswith(_HFA):
            continue  # GDAL looks first, and so passes over other programs' files of that name
        is_plain = head.startswith(_COMPANION_MAGIC)
        if not is_plain or depth > _MAX_DEPTH:
            raise DataError(
                f"GDAL would read {companion.name} as its overviews or mask, which is no GeoTIFF",
                where=image,
                fix=f"take {companion.name} away",
            )
        try:
            with allow_missing_georeference(), DatasetReader(companion, driver=list(DRIVERS)) as it:
                _check(it, companion, image, depth + 1)
        except (RasterioError, CPLE_BaseError) as error:
            raise DataError(
                f"its overviews or mask in {companion.name} cannot be read",
                where=image,
                fix=f"take {companion.name} away",
            ) from error


def _companions(path: Path) -> list[Path]:
    names = {f"{path.name}{suffix}" for suffix in _COMPANIONS}
    names |= {f"{path.stem}{suffix}" for suffix in (".aux", ".AUX")}
    return [path.with_name(name) for name in sorted(names) if path.with_name(name).is_file()]
