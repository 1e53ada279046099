"""Windows of many rasters, read again and again: each file is opened once in each process."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from mmrs.geo.aligned_labels import AlignedLabels
from mmrs.geo.pixel_cache import PixelCache
from mmrs.geo.raster import Raster, to_coordinates
from mmrs.geo.windows import Window

Key = tuple[Any, ...]
# A worker needs the blocks of one window; GDAL's own bound is a share of the machine's memory,
# for every worker.
CACHE_BYTES = 64 * 2**20
# Handles of the process that this one was forked from. They share file offsets and locks with it,
# so they are neither used nor closed here.
_inherited: list[Any] = []


class WindowReader:
    """Reads windows, which may reach over the lower and right edges, with what is valid in them.

    A file is opened at its first window and stays open, up to a number of files. Handles never
    cross into another process: a forked one opens its own, a pickled reader holds none.

    Args:
        bands: Which bands of every raster, counted from 1; all that are data by default.
        max_open: Files that stay open in a process, at least 1.
        cache_dir: Read images from a `PixelCache` there, made at the first window; None reads
            the rasters themselves.

    Raises:
        ValueError: ``max_open`` is below 1.
    """

    def __init__(
        self,
        *,
        bands: Sequence[int] | None = None,
        max_open: int = 16,
        cache_dir: str | Path | None = None,
    ) -> None:
        if max_open < 1:
            raise ValueError(f"max_open must be >= 1, got {max_open}")
        self.bands = None if bands is None else tuple(bands)
        self.max_open = max_open
        self.cache_dir = cache_dir
        self._open: OrderedDict[Key, Any] = OrderedDict()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def raster(self, path: str | Path) -> Raster:
        """The open raster of a path.

        Raises:
            DataError: As `Raster`.
        """
        found: Raster = self._get((str(path),), lambda: Raster(path, bands=self.bands))
        return found

    def cached(self, path: str | Path) -> PixelCache:
        """The mapped pixels of a path, unpacked first where that was not done yet.

        Raises:
            DataError, OutputError: As `PixelCache`.
            ValueError: There is no ``cache_dir``.
        """
        folder = self.cache_dir
        if folder is None:
            raise ValueError("cache_dir is not set")
        found: PixelCache = self._get(
            (str(path), "pixels"), lambda: PixelCache(path, folder, bands=self.bands)
        )
        return found

    def read(self, path: str | Path, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Pixels of a window.

        Args:
            path: The raster.
            window: Its corner lies inside; it may end outside.

        Returns:
            Pixels (height, width, bands) in the file's type, 0 where nothing is valid; valid
            (height, width), False outside; the number of pixels that are not finite though
            nothing in the file declares them to be no data.

        Raises:
            DataError: The file is damaged there.
        """
        source = self.raster(path) if self.cache_dir is None else self.cached(path)
        inside = clip_window(window, source.height, source.width)
        pixels, valid, undeclared = source.read_with_valid(inside)
        if not valid.all():
            pixels[~valid] = 0
        return pad_to(pixels, window), pad_to(valid, window), undeclared

    def read_labels(
        self, path: str | Path, window: Window, *, like: str | Path | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Labels of a window: (height, width), or (height, width, bands) of colours.

        Args:
            path: The label raster.
            window: As in ``read``, in pixels of the labels, or of ``like``.
            like: The image to whose grid the labels are brought, each pixel the nearest label's;
                None where they lie on it already.

        Returns:
            Labels in the file's type, and where they are valid: neither nodata nor outside.

        Raises:
            DataError: The file is damaged there, or has no place on ``like``.
        """
        if like is None:
            raster: Raster = self._get((str(path), "labels"), lambda: Raster(path))
            inside = clip_window(window, raster.height, raster.width)
            pixels, valid, _ = raster.read_with_valid(inside)
        else:
            image = self.raster(like)
            aligned: AlignedLabels = self._get(
                (str(path), str(like)), lambda: AlignedLabels(path, image)
            )
            inside = clip_window(window, image.height, image.width)
            pixels, valid = aligned.read(inside)
        pixels, valid = pad_to(pixels, window), pad_to(valid, window)
        return (pixels[..., 0] if pixels.shape[-1] == 1 else pixels), valid

    def close(self) -> None:
        """Close what this process has opened; reading opens again."""
        self._leave_inherited()
        while self._open:
            self._open.popitem()[1].close()

    def _get(self, key: Key, open_it: Any) -> Any:
        self._leave_inherited()
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        if not self._open:
            _bound_cache()
        opened = open_it()
        self._open[key] = opened
        if len(self._open) > self.max_open:
            self._open.popitem(last=False)[1].close()
        return opened

    def _leave_inherited(self) -> None:
        if self._process != os.getpid():
            _inherited.extend(self._open.values())
            self._open = OrderedDict()
            self._process = os.getpid()


def clip_window(window: Window, height: int, width: int) -> Window:
    """The part of a window that lies in a raster.

    Raises:
        ValueError: The window begins outside.
    """
    if not (0 <= window.row < height and 0 <= window.col < width):
        raise ValueError(f"window {tuple(window)} begins outside a raster of {height} x {width}")
    return Window(
        window.row,
        window.col,
        min(window.height, height - window.row),
        min(window.width, width - window.col),
    )


def pad_to(pixels: NDArray[Any], window: Window) -> NDArray[Any]:
    """(h, w, ...) with zeros below and to the right, as large as the window; itself if it is."""
    if pixels.shape[:2] == (window.height, window.width):
        return pixels
    padded = np.zeros((window.height, window.width, *pixels.shape[2:]), dtype=pixels.dtype)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded


def grid_difference(labels: Raster, image: Raster, *, tolerance_px: float = 0.01) -> str | None:
    """How the grid of labels differs from the image's, in words; None where it is the same.

    Labels without CRS and grid, such as PNGs, lie on the image's pixels if they are as many.

    Args:
        labels: The label raster.
        image: The image.
        tolerance_px: Largest distance of a corner, in the image's pixels, that is no difference.
    """
    sizes = (labels.height, labels.width), (image.height, image.width)
    first, second = labels.georeference, image.georeference
    told = [
        f"{kind} {raster.height} x {raster.width} px, {_crs(raster)}, {_grid(raster)}"
        for kind, raster in (("labels:", labels), ("image:", image))
    ]
    both = f"{told[0]}; {told[1]}"
    if sizes[0] != sizes[1]:
        return both
    if first.crs is not None and second.crs is not None and first.crs != second.crs:
        return both
    if first.transform is None or second.transform is None:
        return None
    cols = np.array([0, image.width, 0, image.width], dtype=np.float64)
    rows = np.array([0, 0, image.height, image.height], dtype=np.float64)
    back = to_coordinates(~second.transform, *to_coordinates(first.transform, cols, rows))
    if max(np.abs(back[0] - cols).max(), np.abs(back[1] - rows).max()) > tolerance_px:
        return both
    return None


def _crs(raster: Raster) -> str:
    crs = raster.georeference.crs
    return "no CRS" if crs is None else str(crs.to_string())[:80]


def _grid(raster: Raster) -> str:
    transform = raster.georeference.transform
    if transform is None:
        return "no transform"
    return "transform (" + ", ".join(f"{value:.10g}" for value in tuple(transform)[:6]) + ")"


def _bound_cache() -> None:
    # for the process, not for a block of code: entering one would cost every single window
    if "GDAL_CACHEMAX" not in os.environ:
        rasterio.env.set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)
