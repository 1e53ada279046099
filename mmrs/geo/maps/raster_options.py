"""How rasters are stored: what users choose, and what GDAL is told for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rasterio.enums import Resampling

BLOCK_PX = 256  # side of a tile of the file
Format = Literal["gtiff", "cog"]
Compression = Literal["deflate", "lzw", "zstd", "none"]
Overviews = Literal["nearest", "mode", "none"]
# level 1: on class maps two to ten times as fast as GDAL's own level, for files larger by 10 %
# (noisy ones) to 50 % (smooth ones, which are small anyway)
_FASTEST = 1
_LEVELS = {"deflate": 12, "zstd": 22}


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

    Raises:
        ValueError: An option has no meaning.
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


def creation_options(layout: RasterLayout, options: RasterOptions) -> dict[str, Any]:
    """What GDAL's GeoTIFF driver is told; for a COG, of the file that it is copied from."""
    chosen: dict[str, Any] = {
        "driver": "GTiff",
        "height": layout.height,
        "width": layout.width,
        "count": layout.count,
        "dtype": layout.dtype,
        "nodata": layout.nodata,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "interleave": "band",
        "num_threads": options.num_threads,
        "BIGTIFF": "IF_SAFER",
    }
    if layout.is_score:
        # of three bands of bytes GDAL would make colours, and of a fourth one transparency
        chosen |= {"photometric": "minisblack", "alpha": "no"}
    if options.format == "cog":
        # is read once and deleted; uncompressed COGs of several bands must be copied from pixels
        return {**chosen, "interleave": "pixel", "compress": "zstd", "zstd_level": _FASTEST}
    if options.compress != "none":
        chosen |= {"compress": options.compress, "predictor": layout.predictor}
    if options.compress in _LEVELS:
        name = {"deflate": "zlevel", "zstd": "zstd_level"}[options.compress]
        chosen[name] = options.level or _FASTEST
    return chosen


def cog_options(layout: RasterLayout, options: RasterOptions) -> dict[str, Any]:
    """What GDAL's COG driver is told."""
    chosen: dict[str, Any] = {
        "driver": "COG",
        "compress": options.compress,
        "blocksize": BLOCK_PX,
        "overviews": "NONE" if options.overviews == "none" else "FORCE_USE_EXISTING",
        "bigtiff": "IF_SAFER",
        "num_threads": options.num_threads,
    }
    if options.compress != "none":
        chosen["predictor"] = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}[layout.predictor]
    if options.compress in _LEVELS:
        chosen["level"] = options.level or _FASTEST
    return chosen


def overview_factors(layout: RasterLayout, options: RasterOptions) -> list[int]:
    """By how much each overview is smaller: 2, 4, ... until one tile holds the longest side."""
    factors: list[int] = []
    if options.overviews != "none":
        while max(layout.height, layout.width) > BLOCK_PX << len(factors):
            factors.append(2 << len(factors))
    return factors


def overview_resampling(layout: RasterLayout, options: RasterOptions) -> Resampling:
    """How overviews are made: classes are never averaged."""
    return Resampling.average if layout.is_score else Resampling[options.overviews]


def overview_config(layout: RasterLayout, options: RasterOptions) -> dict[str, Any]:
    """GDAL's configuration while overviews are made."""
    level = str(options.level or _FASTEST)
    return {
        "GDAL_TIFF_OVR_BLOCKSIZE": str(BLOCK_PX),
        "ZLEVEL_OVERVIEW": level,
        "ZSTD_LEVEL_OVERVIEW": str(_FASTEST) if options.format == "cog" else level,
        "PREDICTOR_OVERVIEW": str(layout.predictor),
        "GDAL_NUM_THREADS": str(options.num_threads),
    }
