"""The channel contract as files state it: by their headers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp

from mmrs.apis.channels.channel_contract import ALPHA_DATA, ChannelContract, check_same_bands
from mmrs.errors import DataError
from mmrs.geo.ground_sampling import ground_sampling
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window


def contract_of_raster(raster: Raster) -> ChannelContract:
    """What a file holds: bands, type, names, size of a pixel.

    A band that is marked as transparency but holds much else than 0 and 255 is a band: GDAL marks
    the fourth of 8 bits so by itself, and near infrared is often there.

    Raises:
        DataError: Its georeference squeezes it to a line or a point.
    """
    bands, (names, from_colours) = raster.count, band_names(raster)
    if alpha_holds_data(raster):
        bands, names = bands + 1, (*names, ALPHA_DATA)
    place = raster.georeference
    try:
        sampling = ground_sampling(
            place.transform, place.crs, height=raster.height, width=raster.width
        )
    except ValueError as error:
        raise DataError(str(error), where=raster.path, fix="georeference it anew") from error
    gsd_m = None if sampling is None else tuple(sampling)
    return ChannelContract(
        bands, raster.dtype, band_names=names, names_from_colours=from_colours, gsd_m=gsd_m
    )


def band_names(raster: Raster) -> tuple[tuple[str, ...], bool]:
    """What the file calls the bands that are read, and whether only by their colours.

    Returns:
        Names, () where a band has none; True where they are the colours that it marks.
    """
    if all(raster.band_names):
        return raster.band_names, False
    colours = [raster.dataset.colorinterp[band - 1] for band in raster.bands]
    nameless = (ColorInterp.undefined, ColorInterp.gray, ColorInterp.palette, ColorInterp.alpha)
    if any(colour in nameless for colour in colours):
        return (), False
    return tuple(colour.name for colour in colours), True


def open_image(image: str | Path | Raster, expected: ChannelContract) -> Raster:
    """Open the bands of an image that a model takes.

    Those that the contract numbers; otherwise all that are data, with a band that is marked as
    transparency where the model was trained on as many bands as there are with it.

    Raises:
        DataError: It cannot be opened, or lacks a band.
    """
    raster = _open(image, expected.file_bands)
    whole = raster.dataset.count
    if expected.file_bands is None and raster.count != whole == expected.bands:
        raster.close()
        raster = _open(image, range(1, whole + 1))
    return raster


def _open(image: str | Path | Raster, bands: Sequence[int] | None) -> Raster:
    return image.reopen(bands) if isinstance(image, Raster) else Raster(image, bands=bands)


def alpha_holds_data(raster: Raster) -> bool:
    """Whether the band that is marked as transparency is another band of the picture."""
    colours = raster.dataset.colorinterp
    if ColorInterp.alpha not in colours:
        return False
    band = colours.index(ColorInterp.alpha) + 1
    if band in raster.bands:
        return False
    height, width = min(256, raster.height), min(256, raster.width)
    window = Window((raster.height - height) // 2, (raster.width - width) // 2, height, width)
    with raster.reopen([band]) as alpha:
        values = alpha.read(window)
    whole = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    between = np.count_nonzero((values != 0) & (values != whole) & (values != 255))
    return bool(between > 0.1 * values.size)


def contract_of_dataset(
    dataset: Any, expected: ChannelContract, *, most: int = 8
) -> ChannelContract | None:
    """What a built data set reads, by the headers of some of its images.

    Args:
        dataset: A data set without wrappers; ``RasterSegDataset`` knows it all by itself.
        expected: What its config says.
        most: How many images to look at, evenly spread.

    Returns:
        None where no image is a raster on the file system, or the data set makes the same bands
        of all kinds of pictures.

    Raises:
        DataError: An image does not hold the bands or the type that the config says, or that the
            first image has.
    """
    if getattr(dataset, "takes_any_picture", False):
        return None
    is_raster = hasattr(dataset, "num_rasters")
    count = dataset.num_rasters if is_raster else len(dataset)
    found = []
    for index in sorted({int(i) for i in np.linspace(0, count - 1, min(most, count))}):
        path = _image_path(dataset, index)
        if not isinstance(path, str) or not os.path.isfile(path):
            continue
        try:
            raster = open_image(path, expected)
        except DataError:
            continue  # the loading step tells it better
        with raster:
            found.append(contract_of_raster(raster))
        check_same_bands(expected, found[-1], where=path)
        # one scaling cannot fit two types: what the first image holds, the others must
        expected = expected.filled_by(found[0])
    if not found:
        return None
    sizes = [contract.gsd_m for contract in found if contract.gsd_m is not None]
    gsd_m = None
    if sizes:
        cols, rows = zip(*sizes, strict=True)
        gsd_m = (float(np.median(cols)), float(np.median(rows)))
    contract = replace(found[0], gsd_m=gsd_m)
    if is_raster:
        contract = replace(
            contract, file_bands=expected.file_bands, scaling=dataset.scaling, fills_gaps=True
        )
    return contract


def _image_path(dataset: Any, index: int) -> Any:
    if hasattr(dataset, "num_rasters"):
        # only here: prediction by ONNX Runtime reads headers too, and needs no MMEngine
        from mmengine.dataset import BaseDataset

        # a sample of this data set is a window, of any of its images
        return BaseDataset.get_data_info(dataset, index).get("img_path")
    if not hasattr(dataset, "get_data_info"):
        return None
    return dataset.get_data_info(index).get("img_path")
