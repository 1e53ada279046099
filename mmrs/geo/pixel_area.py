"""What area a pixel of each row covers on the ground."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

from mmrs.geo.georeference import to_coordinates
from mmrs.geo.ground_sampling import ground_sampling

_WGS84_E2 = 6.694379990141317e-3  # first eccentricity, squared
_WGS84_POLAR_AXIS_M = 6_356_752.314245179
_PIECES = 16  # that a row's sides are cut into: they need be no parallels of latitude
_ROUNDING = 1e-9  # of a degree
# UTM is true to a thousandth; polar and web maps are off by percents and more
_TRUE_WITHIN = 0.01


class PixelAreas:
    """Areas of pixels in m²; made by ``pixel_areas``.

    Attributes:
        method: How they are known, in words.
        middle_m2: Of a pixel of the middle row.
    """

    def __init__(
        self, transform: Affine, crs: CRS, *, height: int, width: int, grid_m2: float | None
    ) -> None:
        self._transform = transform
        self._crs = crs
        self._width = width
        self._grid_m2 = grid_m2
        if grid_m2 is not None:
            self.method = "from the grid of the projected CRS"
        else:
            self.method = "on the WGS 84 ellipsoid, row by row"
        self.middle_m2 = float(self.of_rows(height // 2, 1)[0])

    def of_rows(self, first: int, count: int) -> NDArray[np.float64]:
        """Mean area of the pixels of rows, (count,); 0 for rows that reach beyond the Earth.

        Args:
            first: The first row.
            count: Rows.
        """
        if self._grid_m2 is not None:
            return np.full(count, self._grid_m2)
        cols = np.linspace(0, self._width, _PIECES + 1)
        rows = np.arange(first, first + count + 1)
        xs, ys = to_coordinates(self._transform, cols[None, :], rows[:, None])
        xs, ys = np.broadcast_arrays(xs, ys)
        if self._crs.to_epsg() == 4326:
            lon, lat = xs, ys
        else:
            try:
                found = transform_points(self._crs, CRS.from_epsg(4326), xs.ravel(), ys.ravel())
            except (RasterioError, CPLE_BaseError):  # some place is on no Earth
                if count == 1:
                    return np.zeros(1)
                return np.concatenate([self.of_rows(first + i, 1) for i in range(count)])
            lon, lat = (np.asarray(values).reshape(xs.shape) for values in found[:2])
            lon[~np.isfinite(lon)] = lat[~np.isfinite(lat)] = np.nan  # of an inf, sines warn
        return self._between(lon, lat)

    def _between(self, lon: Any, lat: Any) -> NDArray[np.float64]:
        """Area between one line of places, (rows + 1, places), and the next, for a pixel.

        In longitude and the area of the zone below a latitude, a figure's area is its own.
        """
        zone = _zone_area_m2(np.radians(lat))
        shift, east = _eastwards(np.diff(lon, axis=0)), _eastwards(np.diff(lon, axis=1))
        # shoelace of each piece, by its two diagonals
        across = (shift[:, 1:] + east[:-1]) * (zone[1:, :-1] - zone[:-1, 1:])
        across -= (shift[:, :-1] - east[:-1]) * (zone[1:, 1:] - zone[:-1, :-1])
        areas = np.abs(across.sum(axis=1) / 2) / self._width
        on_earth = (np.abs(lat) <= 90 + _ROUNDING).all(axis=1)
        return np.where(np.isfinite(areas) & on_earth[1:] & on_earth[:-1], areas, 0.0)


def pixel_areas(
    transform: Affine | None, crs: Any, *, height: int, width: int
) -> PixelAreas | None:
    """Areas of a raster's pixels.

    A projected CRS is taken by its own unit where its areas are true to 1 % in the middle of the
    raster (UTM, national grids); elsewhere, and for degrees, the area is the ellipsoid's, row by
    row, by the closed form for zones of latitude: along a row of a rotated grid, the row's mean.

    Args:
        transform: Pixel (column, row) -> CRS.
        crs: What ``rasterio.crs.CRS.from_user_input`` takes.
        height: Rows.
        width: Columns.

    Returns:
        None where there is no transform or no CRS, or the CRS cannot be measured.

    Raises:
        ValueError: The raster is empty, or the transform squeezes it to a line.
    """
    if transform is None or ground_sampling(transform, crs, height=height, width=width) is None:
        return None
    crs = CRS.from_user_input(crs)
    areas = PixelAreas(transform, crs, height=height, width=width, grid_m2=None)
    if not crs.is_projected:
        return areas
    grid_m2 = abs(transform.determinant) * crs.linear_units_factor[1] ** 2
    if abs(grid_m2 - areas.middle_m2) > _TRUE_WITHIN * grid_m2 and areas.middle_m2 > 0:
        return areas
    return PixelAreas(transform, crs, height=height, width=width, grid_m2=grid_m2)


def _eastwards(degrees: Any) -> NDArray[np.float64]:
    """Differences of longitude in radians, the short way round: over the date line."""
    return np.asarray(np.radians((degrees + 180) % 360 - 180))


def _zone_area_m2(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area from the equator to a latitude, for one radian of longitude.

    Source: Snyder, "Map projections: a working manual", 1987, equation 3-12, times b² / (2 (1 -
    e²)) of the ellipsoid.
    """
    sine, e = np.sin(latitude), math.sqrt(_WGS84_E2)
    zone = sine / (1 - _WGS84_E2 * sine**2) + np.arctanh(e * sine) / e
    return np.asarray(_WGS84_POLAR_AXIS_M**2 / 2 * zone)
