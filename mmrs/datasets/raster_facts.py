"""What is known of rasters, and what is said of them: kind, layout, place, values of no use."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from mmengine.logging import print_log

from mmrs.errors import DataError
from mmrs.geo.raster import Raster, window_transform
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window


def check_kind(
    raster: Raster, *, bands: Sequence[int], dtype: str, first: Path, scaled: bool
) -> None:
    """Raise where a raster is not of the kind of the others, or of none that can be trained on.

    Args:
        raster: The raster.
        bands: Those of the first one.
        dtype: Its type.
        first: Its path.
        scaled: Whether the values are scaled.

    Raises:
        DataError: Bands or types differ, or float32 does not hold the values.
    """
    found, expected = (raster.bands, raster.dtype), (tuple(bands), dtype)
    if found != expected:
        what = f"{raster.count} bands of {raster.dtype}, but {first} has {len(bands)} of {dtype}"
        if (raster.count, raster.dtype) == (len(bands), dtype):  # transparency lies elsewhere
            what = f"its data are bands {list(raster.bands)}, those of {first} {list(bands)}"
        raise DataError(
            what,
            where=raster.path,
            fix="choose bands that all images have, and convert them to one type",
        )
    # what a network takes without a silent cast
    fits = np.can_cast(raster.dtype, np.float32)
    if not fits and (not scaled or raster.dtype.startswith("complex")):
        raise DataError(
            f"pixels of {raster.dtype} do not fit into float32 unscaled",
            where=raster.path,
            fix="set scaling, or convert the image to uint16, int16 or float32",
        )


def warn_of_strips(reader: WindowReader, images: Sequence[Path]) -> None:
    """Say in the log which layout makes windows slow, and the mend."""
    slow = []
    for path in images:
        why = reader.raster(path).slow_windows
        if why is not None:
            slow.append((path, why))
    if slow:
        path, why = slow[0]
        more = f" (and {len(slow) - 1} more of {len(images)} images)" if slow[1:] else ""
        print_log(
            f"{path}: {why}{more}: every window unpacks whole strips. Faster, several times: "
            "gdal_translate -co TILED=YES -co BLOCKXSIZE=256 -co BLOCKYSIZE=256 "
            "-co COMPRESS=ZSTD -co PREDICTOR=2 in.tif out.tif; or set unpack=True",
            "current",
            logging.WARNING,
        )


def tell_undeclared(path: str, count: int, window: Window, ignore_index: int) -> None:
    """Say in the log that a window has values that are not finite and that nothing declares."""
    print_log(
        f"{path}: {count} pixels of the window at row {window.row}, column {window.col} are "
        "not finite though the file declares no such nodata; they are ignored (image 0, label "
        f"{ignore_index}). tools/dataset_stats.py counts all of them",
        "current",
        logging.WARNING,
    )


def describe(raster: Raster, label: Path | None) -> dict[str, Any]:
    """What a data set knows of a raster without reading its pixels."""
    reference = raster.georeference
    info = {
        "img_path": str(raster.path),
        "raster_shape": (raster.height, raster.width),
        "transform": None if reference.transform is None else tuple(reference.transform)[:6],
        "crs": None if reference.crs is None else reference.crs.to_string(),
        "gsd_m": raster.gsd_m,
        "band_names": raster.band_names,
        "reduce_zero_label": False,  # done when a sample is loaded
        "label_map": None,
        "seg_fields": [],
    }
    if label is not None:
        info["seg_map_path"] = str(label)
    return info


def moved(transform: Sequence[float] | None, window: Window) -> tuple[float, ...] | None:
    """The transform of a window of a raster, six numbers; None where the raster has none."""
    if transform is None:
        return None
    return tuple(window_transform(Affine(*transform), window))[:6]
