"""A scene as seen at another pixel size, and the way back to its own grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT

from mmrs.errors import DataError
from mmrs.geo.ground_sampling import GroundSampling, ground_sampling
from mmrs.geo.raster import Georeference, Raster
from mmrs.geo.windows import Window


class ResampledRaster(Raster):
    """A raster read at another ground sampling distance, through a warped view of the file.

    The grid begins at the raster's corner, has its directions and covers exactly its extent: its
    pixels are the size that is asked for, rounded so that whole ones fit. Larger pixels are means
    of the file's, smaller ones are interpolated linearly; pixels without data take no part, and
    one of the new pixels has data where any pixel of the file under it has.

    Args:
        path: The raster; it needs a CRS and a grid.
        gsd_m: Metres on the ground, (from column to column, from row to row).
        bands: As `Raster`.

    Attributes:
        source: The raster as it is.

    Raises:
        DataError: As `Raster`, or nothing says how large a pixel is on the ground.
    """

    def __init__(
        self, path: str | Path, *, gsd_m: tuple[float, float], bands: Sequence[int] | None = None
    ) -> None:
        if min(gsd_m) <= 0:
            raise ValueError(f"gsd_m must be > 0, got {gsd_m}")
        super().__init__(path, bands=bands)
        self.source = Raster(path, bands=bands)
        place = self.georeference
        found = ground_sampling(place.transform, place.crs, height=self.height, width=self.width)
        if found is None or place.transform is None:
            self.close()
            raise DataError(
                "it has no CRS or no grid, so the size of its pixels on the ground is not known",
                where=path,
                fix="give it one (gdal_edit.py -a_srs ... -a_ullr ...), or leave --resample out",
            )
        self.height, self.width = resampled_shape(self.height, self.width, found, gsd_m)
        down = self.height < self.source.height or self.width < self.source.width
        self._view(place.transform, Resampling.average if down else Resampling.bilinear)

    def _view(self, transform: Affine, resampling: Resampling) -> None:
        scale_row = self.source.height / self.height
        scale_col = self.source.width / self.width
        a, b, c, d, e, f = tuple(transform)[:6]
        grid = Affine(a * scale_col, b * scale_row, c, d * scale_col, e * scale_row, f)
        self._file = self._dataset
        alpha = ColorInterp.alpha in self._file.colorinterp
        # a mask becomes transparency; a declared value is what the view knows by itself
        masked = self._has_mask and not self._mask_is_nodata and not alpha
        self._dataset = WarpedVRT(
            self._file,
            crs=self.georeference.crs,
            transform=grid,
            height=self.height,
            width=self.width,
            resampling=resampling,
            tolerance=0.001,  # in pixels; rasterio 1.4 takes no 0
            add_alpha=masked,
            warp_mem_limit=64,
        )
        # control points and RPCs do not hold on this grid
        self.georeference = Georeference(self.georeference.crs, grid)

    def read_valid(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Which pixels of a window lie over any pixel of the file that holds data, (h, w).

        Raises:
            DataError: If the file is damaged there.
        """
        window = window or self.full
        if not self.has_invalid:
            return np.ones((window.height, window.width), dtype=bool)
        rows = _under(window.row, window.height, self.source.height, self.height)
        cols = _under(window.col, window.width, self.source.width, self.width)
        top, left = int(rows[0, 0]), int(cols[0, 0])
        area = Window(top, left, int(rows[-1, 1]) - top, int(cols[-1, 1]) - left)
        valid = self.source.read_valid(area)
        sums = np.zeros((area.height + 1, area.width + 1), dtype=np.int64)
        np.cumsum(np.cumsum(valid, axis=0), axis=1, out=sums[1:, 1:])
        (r0, r1), (c0, c1) = (rows - top).T[..., None], (cols - left).T[:, None]
        counts = sums[r1, c1] - sums[r0, c1] - sums[r1, c0] + sums[r0, c0]
        return np.asarray(counts > 0)

    def close(self) -> None:
        """Close the file."""
        super().close()
        for opened in (getattr(self, "_file", None), getattr(self, "source", None)):
            if opened is not None:
                opened.close()


class BackToGrid:
    """Brings rows of a map of a `ResampledRaster` back to the raster's own grid, in order.

    A pixel of the raster takes the value of the new pixel in which its middle lies: row r takes
    row floor((r + 0.5) h / H) of h rows for H, columns likewise.

    Args:
        height: Rows of the raster, H.
        width: Columns of the raster.
        from_height: Rows of the map, h.
        from_width: Columns of the map.
        first_row: The first row of the raster that is wanted.

    Attributes:
        first_row: As given.
        row_of: For each row of the raster, the row of the map.
        col_of: Likewise for columns.
    """

    def __init__(
        self, height: int, width: int, *, from_height: int, from_width: int, first_row: int = 0
    ) -> None:
        self.row_of = nearest_index(height, from_height)
        self.col_of = nearest_index(width, from_width)
        self.first_row = self._given = first_row
        self._taken = 0  # a map that is whole begins at its first row, wanted or not
        if first_row:
            self._taken = int(self.row_of[first_row]) if first_row < height else from_height

    @property
    def next_row(self) -> int:
        """The row of the map from which on it wants rows."""
        return self._taken

    def rows_within(self, count: int) -> NDArray[np.intp]:
        """The next rows of the raster that lie in the map's next ``count`` rows.

        Returns:
            (m,), for each of them its row, counted from the first of those ``count``.
        """
        first, self._taken = self._taken, self._taken + count
        end = int(np.searchsorted(self.row_of, self._taken))
        mine, self._given = self.row_of[self._given : end] - first, end
        return mine


def nearest_index(count: int, from_count: int) -> NDArray[np.intp]:
    """For each of ``count`` cells, which of ``from_count`` cells over the same extent holds it.

    Raises:
        ValueError: A count is below 1.
    """
    if count < 1 or from_count < 1:
        raise ValueError(f"counts must be >= 1, got {count} and {from_count}")
    # in integers: (2 i + 1) n / (2 N), so that no rounding moves a middle over an edge
    return (2 * np.arange(count, dtype=np.intp) + 1) * from_count // (2 * count)


def resampled_shape(
    height: int, width: int, found: GroundSampling, gsd_m: tuple[float, float]
) -> tuple[int, int]:
    """Rows and columns of the grid over the same extent whose pixels come nearest to ``gsd_m``."""
    return (
        max(1, round(height * found.row_m / gsd_m[1])),
        max(1, round(width * found.col_m / gsd_m[0])),
    )


def _under(start: int, count: int, source: int, cells: int) -> NDArray[np.intp]:
    """(count, 2): first and one past the last of ``source`` pixels that each new pixel touches."""
    index = np.arange(start, start + count + 1, dtype=np.intp)
    first = index[:-1] * source // cells
    end = -(-index[1:] * source // cells)
    return np.stack([first, end], axis=1)
