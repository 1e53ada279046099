"""Writing a raster from the top down, and proving that what lies on the disk is what was written.

GDAL does not always tell of a full disk, neither in a write nor at the end, and leaves a file that
opens and holds zeros.  So every pixel is read back and compared by checksum, every tile of the
overviews is decoded, and only then may the file be renamed (``mmrs.geo.atomic``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window as RasterioWindow

from mmrs.errors import OutputError
from mmrs.geo.atomic import flush, remove_beside
from mmrs.geo.disk_space import write_error
from mmrs.geo.georeference import Georeference, allow_missing_georeference
from mmrs.geo.maps.raster_options import (
    BLOCK_PX,
    Compression,
    Format,
    Overviews,
    RasterLayout,
    RasterOptions,
    cog_options,
    creation_options,
    overview_config,
    overview_factors,
    overview_resampling,
)
from mmrs.geo.maps.read_back import checksum, facts, read_back
from mmrs.version import __version__

# how a raster is stored is found here too
__all__ = [
    "SUFFIXES",
    "Compression",
    "Format",
    "Overviews",
    "RasterLayout",
    "RasterOptions",
    "RasterOutput",
    "check_suffix",
    "raster_output",
    "remove_companions",
]

SUFFIXES = (".tif", ".tiff")
_GDAL_ERRORS = (RasterioError, CPLE_BaseError)


class RasterOutput:
    """Takes a raster's rows from the top down; made by ``raster_output``.

    Attributes:
        rows: Rows taken.
    """

    def __init__(self, dataset: Any, target: Path, layout: RasterLayout):
        self._dataset = dataset
        self._target = target
        self._layout = layout
        # rows wait here until a line of tiles is full: a tile written twice is compressed twice
        lines = min(BLOCK_PX, layout.height)
        self._line = np.empty((layout.count, lines, layout.width), dtype=layout.dtype)
        self.rows = 0
        self.checksums = [0] * layout.count

    def write_rows(self, pixels: NDArray[Any]) -> None:
        """Append rows.

        Args:
            pixels: (count, n, width) in the layout's type.

        Raises:
            ValueError: If the shape or type differs, or there are more rows than the layout says.
            OutputError: If they cannot be written.
        """
        layout, n = self._layout, pixels.shape[1]
        if self.rows + n > layout.height:
            raise ValueError(f"row {self.rows + n} of a map of {layout.height}")
        for band, values in enumerate(pixels):
            self.checksums[band] = checksum(values, self.checksums[band])
        begin = 0
        while begin < n:
            filled = self.rows % BLOCK_PX
            taken = min(n - begin, BLOCK_PX - filled)
            self._line[:, filled : filled + taken] = pixels[:, begin : begin + taken]
            self.rows += taken
            begin += taken
            if self.rows % BLOCK_PX == 0 or self.rows == layout.height:
                self._write_line(filled + taken)

    def _write_line(self, count: int) -> None:
        window = RasterioWindow(0, self.rows - count, self._layout.width, count)
        try:
            self._dataset.write(self._line[:, :count], window=window)
        except _GDAL_ERRORS as error:
            raise write_error(self._target, error) from error


@contextmanager
def raster_output(
    temporary: Path,
    target: Path,
    layout: RasterLayout,
    *,
    options: RasterOptions,
    georeference: Georeference | None,
    describe: Callable[[Any], None],
) -> Iterator[RasterOutput]:
    """Write a raster to ``temporary``; at the end of the block it is complete and proven readable.

    Args:
        temporary: Where to.
        target: What it will become, for the messages.
        layout: What it holds.
        options: How it is stored.
        georeference: Where it lies.
        describe: Called with the open file, to add tags, colours and names.

    Yields:
        The writer; give it every row before the block ends.

    Raises:
        OutputError: If it cannot be written, rows are missing, or it reads back other than it was
            written.
    """
    is_cog = options.format == "cog"
    base = temporary.with_name(f"{temporary.stem}.base.tif") if is_cog else temporary
    try:
        dataset = _create(base, target, layout, options)
        try:
            _describe(dataset, georeference or Georeference())
            describe(dataset)
            described = facts(dataset)
            output = RasterOutput(dataset, target, layout)
            yield output
        finally:
            _close(dataset)
        if output.rows != layout.height:
            raise OutputError(
                f"only {output.rows} of {layout.height} rows were written", where=target
            )
        with _gdal_told(target):
            _add_overviews(base, layout, options)
            if is_cog:
                copy(base, temporary, **cog_options(layout, options))
        flush(temporary, target)
        read_back(
            temporary,
            target,
            output.checksums,
            described=described,
            overviews=overview_factors(layout, options),
            is_cog=is_cog,
        )
    except _GDAL_ERRORS as error:
        raise write_error(target, error) from error
    finally:
        if is_cog:
            for leftover in (base, Path(f"{base}.aux.xml")):
                leftover.unlink(missing_ok=True)


def check_suffix(path: Path, what: str) -> None:
    """Raise where a raster's name is not a GeoTIFF's.

    Raises:
        OutputError: With the suffix to use.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{what} is a GeoTIFF", where=path, fix="end its name in .tif")


def remove_companions(target: Path) -> None:
    """Remove what GDAL kept of the file that ``target`` replaces: its statistics, overviews, mask.

    They would be read as the new file's, the ``.aux.xml`` even for its place on Earth.
    """
    remove_beside(target, (".aux.xml", ".ovr", ".msk"))


@contextmanager
def _gdal_told(target: Path) -> Iterator[None]:
    try:
        with allow_missing_georeference():
            yield
    except (*_GDAL_ERRORS, OSError) as error:
        raise write_error(target, error) from error


def _create(base: Path, target: Path, layout: RasterLayout, options: RasterOptions) -> Any:
    try:
        with allow_missing_georeference():
            return rasterio.open(base, "w", **creation_options(layout, options))
    except _GDAL_ERRORS as error:
        raise OutputError(f"cannot be made ({error})", where=target) from error


def _describe(dataset: Any, georeference: Georeference) -> None:
    dataset.update_tags(TIFFTAG_SOFTWARE=f"mmrs {__version__}")
    with allow_missing_georeference():
        if georeference.gcps:
            # GDAL keeps either control points or a grid, and the points are what was measured
            dataset.gcps = (list(georeference.gcps), georeference.gcps_crs)
        else:
            if georeference.crs is not None:
                dataset.crs = georeference.crs
            if georeference.transform is not None:
                dataset.transform = georeference.transform
        if georeference.rpcs is not None:
            dataset.rpcs = georeference.rpcs


def _add_overviews(base: Path, layout: RasterLayout, options: RasterOptions) -> None:
    factors = overview_factors(layout, options)
    if factors:
        config = overview_config(layout, options)
        with rasterio.Env(**config), rasterio.open(base, "r+") as dataset:
            dataset.build_overviews(factors, overview_resampling(layout, options))


def _close(dataset: Any) -> None:
    # apart, so that a test can damage the file between writing and reading back
    dataset.close()
