"""Writing a raster from the top down, and proving that what lies on the disk is what was written.

GDAL does not always tell of a full disk, neither in a write nor at the end, and leaves a file that
opens and holds zeros.  So every pixel is read back and compared by checksum, every tile of the
overviews is decoded, and only then may the file be renamed (``mmrs.geo.atomic``).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window as RasterioWindow

from mmrs.errors import OutputError
from mmrs.geo.atomic import flush
from mmrs.geo.disk_space import write_error
from mmrs.geo.georeference import Georeference, allow_missing_georeference
from mmrs.version import __version__

BLOCK_PX = 256  # side of a tile of the file
SUFFIXES = (".tif", ".tiff")
Format = Literal["gtiff", "cog"]
Compression = Literal["deflate", "lzw", "zstd", "none"]
Overviews = Literal["nearest", "mode", "none"]
# level 1: on class maps twice to ten times as fast as GDAL's own level, for files larger by 10 %
# (noisy ones) to 50 % (smooth ones, which are small anyway)
_FASTEST = 1
_LEVELS = {"deflate": 12, "zstd": 22}
_GDAL_ERRORS = (RasterioError, CPLE_BaseError)


@dataclass(frozen=True)
class RasterOptions:
    """How rasters are stored.

    Attributes:
        format: A tiled GeoTIFF (BigTIFF where 4 GB might not do), or a Cloud Optimized GeoTIFF.
        compress: Lossless compression.
        level: Of ``deflate`` (1 to 12) and ``zstd`` (1 to 22): higher is smaller and slower; the
            fastest by default.
        overviews: Smaller copies inside the file, for those who look from afar: each pixel one of
            those it stands for (``nearest``) or the most frequent (``mode``, slower); scores are
            averaged in both cases.
        num_threads: That compress.
    """

    format: Format = "gtiff"
    compress: Compression = "deflate"
    level: int | None = None
    overviews: Overviews = "nearest"
    num_threads: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (
            ("format", ("gtiff", "cog")),
            ("compress", ("deflate", "lzw", "zstd", "none")),
            ("overviews", ("nearest", "mode", "none")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        highest = _LEVELS.get(self.compress, 0)
        if self.level is not None and not 1 <= self.level <= highest:
            told = f"1 to {highest}" if highest else "left out"
            raise ValueError(f"level of {self.compress} must be {told}, got {self.level}")
        if self.num_threads < 1:
            raise ValueError(f"num_threads must be >= 1, got {self.num_threads}")


@dataclass(frozen=True)
class RasterLayout:
    """What a raster holds.

    Attributes:
        height: Rows.
        width: Columns.
        count: Bands.
        dtype: NumPy's name of the type.
        nodata: The value that means no data.
        is_score: Whether the values are quantities, which may be averaged, or classes.
    """

    height: int
    width: int
    count: int
    dtype: str
    nodata: float
    is_score: bool

    @property
    def predictor(self) -> int:
        """TIFF's: 1 (none) for classes, whose differences mean nothing; 2 whole numbers; 3 floats.

        Source: TIFF 6.0 section 14, and Adobe's technical note 3.
        """
        if not self.is_score:
            return 1
        return 3 if np.dtype(self.dtype).kind == "f" else 2


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
            self.checksums[band] = _crc(values, self.checksums[band])
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
                _to_cog(base, temporary, layout, options)
        flush(temporary, target)
        _read_back(temporary, target, layout, output.checksums)
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


@contextmanager
def _gdal_told(target: Path) -> Iterator[None]:
    try:
        with allow_missing_georeference():
            yield
    except (*_GDAL_ERRORS, OSError) as error:
        raise write_error(target, error) from error


def _create(base: Path, target: Path, layout: RasterLayout, options: RasterOptions) -> Any:
    compression = _compression(layout, options)
    if options.format == "cog":
        compression = {"compress": "zstd", "zstd_level": _FASTEST}  # is read once and deleted
    try:
        with allow_missing_georeference():
            return rasterio.open(
                base,
                "w",
                driver="GTiff",
                height=layout.height,
                width=layout.width,
                count=layout.count,
                dtype=layout.dtype,
                nodata=layout.nodata,
                tiled=True,
                blockxsize=BLOCK_PX,
                blockysize=BLOCK_PX,
                interleave="band",
                num_threads=options.num_threads,
                BIGTIFF="IF_SAFER",
                **compression,
            )
    except _GDAL_ERRORS as error:
        raise OutputError(f"cannot be made ({error})", where=target) from error


def _compression(layout: RasterLayout, options: RasterOptions) -> dict[str, Any]:
    chosen: dict[str, Any] = {"compress": options.compress}
    if options.compress == "none":
        return {}
    chosen["predictor"] = layout.predictor
    if options.compress in _LEVELS:
        name = {"deflate": "zlevel", "zstd": "zstd_level"}[options.compress]
        chosen[name] = options.level or _FASTEST
    return chosen


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
    factors: list[int] = []
    if options.overviews != "none":
        while max(layout.height, layout.width) >> len(factors) > BLOCK_PX:
            factors.append(2 << len(factors))
    if not factors:
        return
    level = str(options.level or _FASTEST)
    env = {
        "GDAL_TIFF_OVR_BLOCKSIZE": str(BLOCK_PX),
        "ZLEVEL_OVERVIEW": level,
        "ZSTD_LEVEL_OVERVIEW": str(_FASTEST) if options.format == "cog" else level,
        "PREDICTOR_OVERVIEW": str(layout.predictor),
        "GDAL_NUM_THREADS": str(options.num_threads),
    }
    with rasterio.Env(**env), rasterio.open(base, "r+") as dataset:
        dataset.build_overviews(factors, _resampling(layout, options))


def _resampling(layout: RasterLayout, options: RasterOptions) -> Resampling:
    return Resampling.average if layout.is_score else Resampling[options.overviews]


def _to_cog(base: Path, temporary: Path, layout: RasterLayout, options: RasterOptions) -> None:
    chosen: dict[str, Any] = {"compress": options.compress}
    if options.compress != "none":
        chosen["predictor"] = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}[layout.predictor]
    if options.compress in _LEVELS:
        chosen["level"] = options.level or _FASTEST
    copy(
        base,
        temporary,
        driver="COG",
        blocksize=BLOCK_PX,
        overviews="AUTO" if options.overviews != "none" else "NONE",
        bigtiff="IF_SAFER",
        num_threads=options.num_threads,
        **chosen,
    )


def _close(dataset: Any) -> None:
    # apart, so that a test can damage the file between writing and reading back
    dataset.close()


def _read_back(temporary: Path, target: Path, layout: RasterLayout, checksums: list[int]) -> None:
    try:
        with allow_missing_georeference(), rasterio.open(temporary) as dataset:
            levels = len(dataset.overviews(1))
            found = [_checksum(dataset, band) for band in dataset.indexes]
        for level in range(levels):
            _read_overview(temporary, level)
    except (*_GDAL_ERRORS, ValueError) as error:
        raise OutputError(
            f"cannot be read back ({error})", where=target, fix="free space on the disk"
        ) from error
    if found != checksums:
        raise OutputError(
            "reads back other than it was written", where=target, fix="free space on the disk"
        )


def _checksum(dataset: Any, band: int) -> int:
    found = 0
    for row in range(0, dataset.height, BLOCK_PX):
        rows = min(BLOCK_PX, dataset.height - row)
        pixels = dataset.read(band, window=RasterioWindow(0, row, dataset.width, rows))
        found = _crc(pixels, found)
    return found


def _crc(pixels: NDArray[Any], before: int) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data, before)


def _read_overview(temporary: Path, level: int) -> None:
    """Decode every tile of an overview; one that is not there would be read as nodata."""
    with allow_missing_georeference(), rasterio.open(temporary) as dataset:
        for band in dataset.indexes:
            for name in _tile_names(dataset, level):
                if not dataset.get_tag_item(f"BLOCK_SIZE_{name}", "TIFF", bidx=band, ovr=level):
                    raise ValueError(f"tile {name} of overview {level} is missing")
    with allow_missing_georeference(), rasterio.open(temporary, overview_level=level) as dataset:
        for band in dataset.indexes:
            _checksum(dataset, band)


def _tile_names(dataset: Any, level: int) -> Iterator[str]:
    factor = dataset.overviews(1)[level]
    rows, columns = (-(-side // (BLOCK_PX * factor)) for side in dataset.shape)
    for row in range(rows):
        for column in range(columns):
            yield f"{column}_{row}"
