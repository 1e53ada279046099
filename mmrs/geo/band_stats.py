"""Statistics of bands over many rasters, block by block: the memory does not grow with them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.errors import DataError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window

BINS = 65536
BLOCK_ROWS = 256
BLOCK_COLS = 2048
PERCENTILES = (0, 0.1, 0.5, 1, 2, 5, 25, 50, 75, 95, 98, 99, 99.5, 99.9, 100)


@dataclass(frozen=True)
class BandStats:
    """What the valid pixels of the bands are like, in the units of the files.

    Attributes:
        dtype: Of the rasters.
        bands: Which, counted from 1.
        names: What the first raster calls them.
        rasters: How many were read.
        pixels: In all, valid or not.
        valid: Pixels that hold data.
        undeclared: Pixels that are not finite though nothing declares them to be no data.
        minimum: Of each band, as all below.
        maximum: Largest value.
        mean: Arithmetic mean.
        std: Standard deviation, of the population.
        percentiles: Percent -> value of each band; exact for types of 8 and 16 bits, else to
            1 / 65536 of the range.
    """

    dtype: str
    bands: tuple[int, ...]
    names: tuple[str, ...]
    rasters: int
    pixels: int
    valid: int
    undeclared: int
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    percentiles: dict[str, tuple[float, ...]]

    def percentile(self, percent: float) -> tuple[float, ...]:
        """Value of each band below which ``percent`` of the pixels lie.

        Between percentages that are kept, the value is interpolated; but not between the extremes
        and their neighbours, because one wild pixel makes an extreme.

        Raises:
            ValueError: It lies there, or not in 0 .. 100.
        """
        known = sorted((float(key), values) for key, values in self.percentiles.items())
        grid = [key for key, _ in known]
        if percent not in grid and not grid[1] < percent < grid[-2]:
            kept = ", ".join(f"{key:g}" for key in grid)
            raise ValueError(f"percentile {percent:g} cannot be told from those kept: {kept}")
        return tuple(
            float(np.interp(percent, grid, [values[band] for _, values in known]))
            for band in range(len(self.bands))
        )


def compute_band_stats(
    paths: Sequence[str | Path],
    *,
    bands: Sequence[int] | None = None,
    percentiles: Sequence[float] = (),
    progress: Callable[[int, int], None] | None = None,
) -> BandStats:
    """Read rasters once (twice, where they hold floats or 32 bits) and count.

    Args:
        paths: Rasters of one type.
        bands: Which, counted from 1; all that are data by default.
        percentiles: Percentages to keep beside `PERCENTILES`.
        progress: Called with (pixels done, pixels in all).

    Raises:
        DataError: A file cannot be read, types or numbers of bands differ, or no pixel is valid.
    """
    shapes, dtype, chosen, names = _look(paths, bands)
    exact = np.dtype(dtype).kind in "ui" and np.dtype(dtype).itemsize <= 2
    total = sum(height * width for height, width in shapes)
    tick = _Ticker(progress, total if exact else 2 * total)
    moments = _Moments(len(chosen))
    if exact:
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max) + 1
        histogram = _Histogram(np.full(len(chosen), low), np.full(len(chosen), high))
    for pixels, undeclared, count in _blocks(paths, chosen, tick):
        moments.add(pixels, undeclared, count)
        if exact:
            histogram.add_ids(pixels, int(low))
    if moments.valid == 0:
        raise DataError(
            f"none of {total} pixels holds data", where=paths[0], fix="check the nodata value"
        )
    if not exact:
        histogram = _Histogram(moments.minimum, moments.maximum)
        for pixels, _, _ in _blocks(paths, chosen, tick):
            histogram.add(pixels)
    return BandStats(
        dtype=dtype,
        bands=tuple(chosen),
        names=names,
        rasters=len(paths),
        pixels=total,
        valid=moments.valid,
        undeclared=moments.undeclared,
        minimum=_numbers(moments.minimum),
        maximum=_numbers(moments.maximum),
        mean=_numbers(moments.mean),
        std=_numbers(np.sqrt(moments.squares / moments.valid)),
        percentiles={
            f"{percent:g}": _numbers(
                np.clip(histogram.percentile(percent, exact), moments.minimum, moments.maximum)
            )
            for percent in sorted({*PERCENTILES, *percentiles})
        },
    )


def write_band_stats(stats: BandStats, path: str | Path) -> None:
    """Keep statistics as JSON.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"band_stats": asdict(stats)}, indent=1) + "\n")


def read_band_stats(path: str | Path) -> BandStats:
    """Read what `write_band_stats` wrote.

    Raises:
        DataError: It is not there, or is something else.
    """
    try:
        found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))["band_stats"]
        lists = ("bands", "names", "minimum", "maximum", "mean", "std")
        found.update({key: tuple(found[key]) for key in lists})
        found["percentiles"] = {key: tuple(v) for key, v in found["percentiles"].items()}
        return BandStats(**found)
    except FileNotFoundError as error:
        raise DataError(
            "no such file", where=path, fix="make it: tools/dataset_stats.py IMAGES --out FILE"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise DataError(
            "holds no band statistics",
            where=path,
            fix="make it again: tools/dataset_stats.py IMAGES --out FILE",
        ) from error


class _Moments:
    """Counts, extremes, mean and squared deviations, merged block by block (Chan et al.)."""

    def __init__(self, bands: int) -> None:
        self.valid = 0
        self.undeclared = 0
        self.minimum = np.full(bands, np.inf)
        self.maximum = np.full(bands, -np.inf)
        self.mean = np.zeros(bands)
        self.squares = np.zeros(bands)

    def add(self, pixels: NDArray[Any], undeclared: int, count: int) -> None:
        self.undeclared += undeclared
        if not count:
            return
        values = pixels.astype(np.float64)
        mean = values.mean(axis=0)
        squares = ((values - mean) ** 2).sum(axis=0)
        total = self.valid + count
        shift = mean - self.mean
        self.squares += squares + shift**2 * self.valid * count / total
        self.mean += shift * count / total
        self.minimum = np.minimum(self.minimum, values.min(axis=0))
        self.maximum = np.maximum(self.maximum, values.max(axis=0))
        self.valid = total


class _Histogram:
    """Counts of each band in equal bins from a lowest to a highest value."""

    def __init__(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        self.low = low
        self.width = np.maximum(high - low, np.finfo(np.float64).tiny) / BINS
        self.counts = np.zeros((len(low), BINS), dtype=np.int64)

    def add_ids(self, pixels: NDArray[Any], offset: int) -> None:
        for band in range(len(self.counts)):
            ids = pixels[:, band].astype(np.int64) - offset
            if self.width[band] < 1:
                ids *= BINS // 256
            self.counts[band] += np.bincount(ids, minlength=BINS)

    def add(self, pixels: NDArray[Any]) -> None:
        for band in range(len(self.counts)):
            place = (pixels[:, band].astype(np.float64) - self.low[band]) / self.width[band]
            ids = np.clip(place, 0, BINS - 1).astype(np.int64)
            self.counts[band] += np.bincount(ids, minlength=BINS)

    def percentile(self, percent: float, exact: bool) -> NDArray[np.float64]:
        """Smallest value with at least ``percent`` of the pixels at or below it."""
        total = self.counts[0].sum()
        # 99.9 is no binary fraction: one pixel too many, now and then
        rank = max(1, math.ceil(int(total) * Fraction(str(percent)) / 100))
        place = np.array([np.searchsorted(np.cumsum(c), rank) for c in self.counts])
        # a bin of a float band is told by its middle
        return np.asarray(self.low + (place + (0.0 if exact else 0.5)) * self.width)


class _Ticker:
    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, pixels: int) -> None:
        self.done += pixels
        if self.progress is not None:
            self.progress(self.done, self.total)


def _look(
    paths: Sequence[str | Path], bands: Sequence[int] | None
) -> tuple[list[tuple[int, int]], str, list[int], tuple[str, ...]]:
    shapes: list[tuple[int, int]] = []
    kinds: list[tuple[int, str]] = []
    names: tuple[str, ...] = ()
    chosen: tuple[int, ...] = ()
    for path in paths:
        with Raster(path, bands=bands) as raster:
            shapes.append((raster.height, raster.width))
            kinds.append((raster.count, raster.dtype))
            if len(kinds) == 1:
                names = raster.band_names
                chosen = raster.bands
            if kinds[-1] != kinds[0]:
                raise DataError(
                    f"{kinds[-1][0]} bands of {kinds[-1][1]}, but {paths[0]} has "
                    f"{kinds[0][0]} of {kinds[0][1]}",
                    where=path,
                    fix="give rasters of one kind",
                )
    if not kinds:
        raise DataError("no rasters to read", fix="name at least one")
    return shapes, kinds[0][1], list(chosen), names


def _blocks(
    paths: Sequence[str | Path], bands: Sequence[int], tick: _Ticker
) -> Iterator[tuple[NDArray[Any], int, int]]:
    """Valid pixels (N, bands) of one block of rows after the other."""
    for path in paths:
        with Raster(path, bands=bands) as raster:
            for row in range(0, raster.height, BLOCK_ROWS):
                for col in range(0, raster.width, BLOCK_COLS):
                    window = Window(
                        row,
                        col,
                        min(BLOCK_ROWS, raster.height - row),
                        min(BLOCK_COLS, raster.width - col),
                    )
                    pixels, valid, undeclared = raster.read_with_valid(window)
                    flat = pixels[valid]
                    yield flat, undeclared, len(flat)
                    tick(window.height * window.width)


def _numbers(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
