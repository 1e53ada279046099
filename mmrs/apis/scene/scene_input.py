"""A scene as a model takes it: its bands, its pixel size, gaps as they were in training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.channels.channel_contract import (
    ChannelContract,
    check_same_bands,
    gsd_warning,
    name_warning,
)
from mmrs.apis.channels.channel_files import contract_of_raster, open_image
from mmrs.errors import ConfigError, DataError
from mmrs.geo.raster import Raster
from mmrs.geo.resampled import ResampledRaster

logger = logging.getLogger(__name__)


def open_scene(
    image: str | Path | Raster, contract: ChannelContract, *, resample: bool, warn: bool = True
) -> Raster:
    """Open the bands that a model takes, at the pixel size that it takes.

    Args:
        image: The scene: a file, or an array or dataset as a raster, which stays open.
        contract: The model's.
        resample: Bring the scene to the model's ground sampling distance, instead of warning that
            it has another.
        warn: Whether to warn of what differs without being wrong.

    Raises:
        DataError: The image holds other bands or another type; nothing is cast in silence.
        ConfigError: Nothing says at which pixel size the model was trained.
    """
    raster = open_image(image, contract)
    image = raster.path
    try:
        found = contract_of_raster(raster)
        fix = raster.bands_fix
        if fix is not None and found.bands == contract.bands:
            fix = "give values as the files of the training hold them, in that type"
        check_same_bands(contract, found, where=image, fix=fix)
    except DataError:
        raster.close()
        raise
    named = name_warning(contract, found)
    if named is not None and warn:
        logger.warning("warning: %s: %s", image, named)
    if not resample:
        told = gsd_warning(contract, found)
        if told is not None and warn:
            logger.warning("warning: %s: %s; --resample brings the image to that", image, told)
        return raster
    raster.close()
    if raster.in_memory:
        raise ConfigError(
            "only a file can be read at another pixel size", where=image,
            fix="write it to a GeoTIFF first, or leave resample out",
        )  # fmt: skip
    if contract.gsd_m is None:
        raise ConfigError(
            "the checkpoint does not say at which ground sampling distance it was trained",
            where="--resample",
            fix="train with this version of mmrs on georeferenced images, or leave --resample out",
        )
    return ResampledRaster(image, gsd_m=contract.gsd_m, bands=raster.bands)


def fill_gaps(
    pixels: NDArray[Any], valid: NDArray[np.bool_] | None, contract: ChannelContract
) -> NDArray[Any]:
    """Make pixels without data what they were in training.

    Args:
        pixels: (h, w, bands), changed in place where their type allows.
        valid: (h, w), which of them hold data; None where all do.
        contract: Of the model.
    """
    is_float = pixels.dtype.kind == "f"
    if valid is None:
        return pixels
    if not contract.fills_gaps:
        if is_float:  # as `mmrs.LoadRaster(nodata="keep")` has it
            pixels[~np.isfinite(pixels)] = 0
        return pixels
    gaps = ~valid
    if is_float:
        gaps |= ~np.isfinite(pixels).all(axis=-1)
    if contract.scaling is None:
        pixels[gaps] = 0
    elif gaps.any():
        # the offset need not be a whole number; wide types keep what float32 would cut
        fits = np.can_cast(pixels.dtype, np.float32)
        pixels = pixels.astype(np.float32 if fits else np.float64)
        pixels[gaps] = contract.scaling.offset  # which becomes 0
    return pixels
