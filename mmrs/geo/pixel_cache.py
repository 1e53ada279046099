"""Pixels of a raster unpacked once into a file that is mapped, not read: windows cost a copy."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.errors import OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.frequency_index import fingerprint
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window

BLOCK_ROWS = 256
_GAP, _DATA, _UNDECLARED = 0, 1, 2  # what the mask holds


class PixelCache:
    """A raster's pixels in memory-mapped files, made where they are not there yet.

    The files are as large as the pixels; the system keeps of them in memory what is used, and takes
    it back when it needs the room. A raster that changes gets new files, and so does one of whose
    files a part is missing.

    Args:
        path: The raster.
        folder: Where the files are kept.
        bands: Which, counted from 1; all that are data by default.

    Attributes:
        height: Rows.
        width: Columns.

    Raises:
        DataError: The raster is damaged.
        OutputError: There is no room for the files, or they cannot be written.
    """

    def __init__(
        self, path: str | Path, folder: str | Path, *, bands: Sequence[int] | None = None
    ) -> None:
        name = fingerprint([path], ["pixels", None if bands is None else list(bands), 1])
        pixels = Path(folder) / f"pixels-{name}.npy"
        mask = Path(folder) / f"pixels-{name}-mask.npy"
        with Raster(path, bands=bands) as raster:
            files = [pixels, mask] if raster.has_invalid else [pixels]
        mapped = _mapped(files)
        if mapped is None:
            _unpack(Path(path), bands, pixels, mask)
            mapped = [np.load(file, mmap_mode="r") for file in files]
        self._pixels = mapped[0]
        self._mask = mapped[1] if len(mapped) > 1 else None
        self.height, self.width = self._pixels.shape[:2]

    def read_with_valid(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """As `Raster.read_with_valid`, from the files."""
        pixels = np.array(self._pixels[window.slices])
        if self._mask is None:
            return pixels, np.ones(pixels.shape[:2], dtype=bool), 0
        mask = self._mask[window.slices]
        return pixels, np.asarray(mask == _DATA), int(np.count_nonzero(mask == _UNDECLARED))

    def close(self) -> None:
        """Let go of the files."""
        del self._pixels, self._mask


def _mapped(files: Sequence[Path]) -> list[NDArray[Any]] | None:
    """The files as arrays; None where one is missing or cut: clean-ups take what they like."""
    try:
        return [np.load(file, mmap_mode="r") for file in files]
    except (OSError, ValueError, EOFError):
        return None


def _unpack(path: Path, bands: Sequence[int] | None, pixels: Path, mask: Path) -> None:
    with Raster(path, bands=bands) as raster:
        shape = (raster.height, raster.width, raster.count)
        needed = int(np.prod(shape)) * np.dtype(raster.dtype).itemsize
        needed += raster.has_invalid * shape[0] * shape[1]
        _check_room(path, pixels.parent, needed)
        with ExitStack() as stack:
            # left in reverse: the mask is there before the pixels are
            new_pixels = stack.enter_context(atomic_path(pixels))
            out = np.lib.format.open_memmap(new_pixels, "w+", np.dtype(raster.dtype), shape)
            gaps = None
            if raster.has_invalid:
                new_mask = stack.enter_context(atomic_path(mask))
                gaps = np.lib.format.open_memmap(new_mask, "w+", np.dtype(np.uint8), shape[:2])
            for row in range(0, raster.height, BLOCK_ROWS):
                height = min(BLOCK_ROWS, raster.height - row)
                window = Window(row, 0, height, raster.width)
                block, valid, undeclared = raster.read_with_valid(window)
                out[row : row + height] = block
                if gaps is not None:
                    codes = valid.astype(np.uint8)
                    if undeclared:
                        codes[~valid & raster.declared_valid(window, block)] = _UNDECLARED
                    gaps[row : row + height] = codes
            for array in (out, gaps):
                if array is not None:
                    array.flush()


def _check_room(path: Path, folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"its pixels take {needed} bytes in {folder}, {free} are free",
            where=path,
            fix="set cache_dir to a larger disk, or leave the cache out",
        )
