"""Writing class maps: GeoTIFFs on the scene's grid, with a colour table and class names."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from mmrs.errors import OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.palette import NODATA_LABEL, check_palette, colour_table
from mmrs.geo.raster import Georeference, allow_missing_georeference
from mmrs.version import __version__

BLOCK_PX = 256  # side of a tile of the file
SUFFIXES = (".tif", ".tiff")


class ClassMapWriter:
    """Takes a class map's rows from the top down; made by ``write_class_map``."""

    def __init__(self, dataset: Any, path: Path):
        self._dataset = dataset
        self._path = path
        # rows wait here until a line of tiles is full: a tile written twice is compressed twice
        self._waiting: list[NDArray[np.uint8]] = []
        self._written = 0
        self.rows = 0
        self.checksum = 0

    def write_rows(self, labels: NDArray[np.uint8]) -> None:
        """Append rows.

        Args:
            labels: (n, width) class indices, 255 where there is no prediction.

        Raises:
            ValueError: If the width or type differs, or there are more rows than the map has.
            OutputError: If they cannot be written.
        """
        if labels.dtype != np.uint8 or labels.ndim != 2 or labels.shape[1] != self._dataset.width:
            raise ValueError(
                f"labels must be (n, {self._dataset.width}) uint8, "
                f"got {labels.shape} {labels.dtype}"
            )
        self.rows += len(labels)
        if self.rows > self._dataset.height:
            raise ValueError(f"row {self.rows} of a map of {self._dataset.height}")
        self.checksum = zlib.crc32(np.ascontiguousarray(labels).data, self.checksum)
        self._waiting.append(labels)
        end = self.rows
        if end < self._dataset.height:
            end -= end % BLOCK_PX
        if end > self._written:
            self._write_until(end)

    def _write_until(self, end: int) -> None:
        rows = np.concatenate(self._waiting)
        count = end - self._written
        window = RasterioWindow(0, self._written, self._dataset.width, count)
        try:
            self._dataset.write(rows[:count], 1, window=window)
        except RasterioError as error:
            raise OutputError(
                f"cannot be written ({error})", where=self._path, fix="free space on the disk"
            ) from error
        self._waiting = [rows[count:]]
        self._written = end


@contextmanager
def write_class_map(
    path: str | Path,
    *,
    height: int,
    width: int,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    georeference: Georeference | None = None,
) -> Iterator[ClassMapWriter]:
    """Write a class map that appears at ``path`` only when it is complete and proven readable.

    Args:
        path: Where to, ``.tif`` or ``.tiff``.
        height: Rows.
        width: Columns.
        classes: Names, in the order of the indices; kept in the tag ``CLASS_NAMES`` as JSON.
        palette: RGB of each class; becomes the colour table.
        georeference: Of the scene; the map lies on the same grid.

    Yields:
        The writer; give it every row before the block ends.

    Raises:
        OutputError: If the path cannot be written, rows are missing, or the file reads back
            other than it was written.  What ``path`` held before is then untouched.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError("a class map is a GeoTIFF", where=path, fix="end its name in .tif")
    colours = check_palette(palette, len(classes))
    with atomic_path(path) as temporary:
        dataset = _create(temporary, path, height, width)
        try:
            try:
                _describe(dataset, georeference or Georeference())
                dataset.write_colormap(1, colour_table(colours))
                dataset.update_tags(
                    CLASS_NAMES=json.dumps(list(classes), ensure_ascii=False),
                    TIFFTAG_SOFTWARE=f"mmrs {__version__}",
                )
                writer = ClassMapWriter(dataset, path)
                yield writer
            finally:
                _close(dataset)
        except RasterioError as error:
            raise OutputError(
                f"cannot be written ({error})", where=path, fix="free space on the disk"
            ) from error
        if writer.rows != height:
            raise OutputError(f"only {writer.rows} of {height} rows were written", where=path)
        _read_back(temporary, path, writer.checksum)


def _create(temporary: Path, path: Path, height: int, width: int) -> Any:
    try:
        with allow_missing_georeference():
            return rasterio.open(
                temporary,
                "w",
                driver="GTiff",
                height=height,
                width=width,
                count=1,
                dtype="uint8",
                nodata=NODATA_LABEL,
                tiled=True,
                blockxsize=BLOCK_PX,
                blockysize=BLOCK_PX,
                compress="deflate",
                BIGTIFF="IF_SAFER",
            )
    except RasterioError as error:
        raise OutputError(f"cannot be made ({error})", where=path) from error


def _describe(dataset: Any, georeference: Georeference) -> None:
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


def _close(dataset: Any) -> None:
    # apart, so that a test can damage the file between writing and reading back
    dataset.close()


def _read_back(temporary: Path, path: Path, checksum: int) -> None:
    found = 0
    try:
        with allow_missing_georeference(), rasterio.open(temporary) as dataset:
            for row in range(0, dataset.height, BLOCK_PX):
                rows = min(BLOCK_PX, dataset.height - row)
                window = RasterioWindow(0, row, dataset.width, rows)
                labels = np.ascontiguousarray(dataset.read(1, window=window))
                found = zlib.crc32(labels.data, found)
    except RasterioError as error:
        raise OutputError(
            f"cannot be read back ({error})", where=path, fix="free space on the disk"
        ) from error
    if found != checksum:
        raise OutputError(
            "reads back other than it was written", where=path, fix="free space on the disk"
        )
