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
_PIECES = 64  # that a row's sides are cut into: they need be no parallels of latitude
# rows in these latitudes that follow no parallel are measured round the pole, where longitudes
# of neighbours lie far apart
_POLAR_DEG, _PARALLEL_DEG = 60.0, 1e-3
# UTM is true to a thousandth; polar and web maps are off by percents and more
_TRUE_WITHIN = 0.01
_SAME_WITHIN = 1e-4  # of pixels along a row


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
        self._some_rows = (0, height // 2, height - 1)
        self._grid_m2 = grid_m2
        if grid_m2 is not None:
            self.method = "from the grid of the projected CRS"
        else:
            self.method = "on the WGS 84 ellipsoid, row by row"
        self.middle_m2 = float(self.of_rows(height // 2, 1)[0])
        self._vary_along_rows = grid_m2 is None and self._differ_along_rows()

    def of_rows(self, first: int, count: int) -> NDArray[np.float64]:
        """Mean area of the pixels of rows that are on the Earth, (count,); 0 where none is.

        Args:
            first: The first row.
            count: Rows.
        """
        if self._grid_m2 is not None:
            return np.full(count, self._grid_m2)
        areas = self._of_pieces(first, count)
        is_known = np.isfinite(areas)
        total = np.where(is_known, areas, 0.0).sum(axis=1)
        return np.asarray(total / np.maximum(is_known.sum(axis=1), 1))

    def of_pixels(self, first: int, count: int) -> NDArray[np.float64]:
        """Area of the pixels of rows; 0 for those that reach beyond the Earth.

        Args:
            first: The first row.
            count: Rows.

        Returns:
            (count,), or where it changes along a row (count, pieces): the mean in each of so
            many equal pieces of the row.
        """
        if not self._vary_along_rows:
            return self.of_rows(first, count)
        areas = self._of_pieces(first, count)
        return np.where(np.isfinite(areas), areas, 0.0)

    def _differ_along_rows(self) -> bool:
        found = np.concatenate([self._of_pieces(row, 1) for row in self._some_rows])
        same = np.ptp(found, axis=1) <= _SAME_WITHIN * found.mean(axis=1)
        return not same.all()  # nor where some places are beyond the Earth: NaN

    def is_within(self, pixel_m2: float, ratio: float) -> bool:
        """Whether pixels are of an area everywhere: all along the first, middle and last row.

        What reaches beyond the Earth says nothing.

        Args:
            pixel_m2: The area.
            ratio: How far others may be from it, as a part of it.
        """
        found = np.concatenate([self._of_pieces(r, 1)[0] for r in self._some_rows])
        found = found[found > 0]
        return bool((np.abs(found - pixel_m2) <= ratio * pixel_m2).all())

    def _of_pieces(self, first: int, count: int) -> NDArray[np.float64]:
        """Mean area of the pixels in each piece of rows, (count, pieces); may be NaN."""
        cols = np.linspace(0, self._width, _PIECES + 1)
        rows = np.arange(first, first + count + 1)
        xs, ys = to_coordinates(self._transform, cols[None, :], rows[:, None])
        xs, ys = np.broadcast_arrays(xs, ys)
        if self._crs.to_epsg() == 4326:
            # where centres of pixels are poles, half of these pixels is on the Earth
            lon, lat = xs, np.clip(ys, -90, 90)
        else:
            lon, lat = self._lonlat(xs.ravel(), ys.ravel()).reshape(2, *xs.shape)
        areas = _between(lon, lat)
        if self._crs.is_projected:
            low, high = np.minimum(lat[1:], lat[:-1]), np.maximum(lat[1:], lat[:-1])
            is_polar = (low.min(axis=1) > _POLAR_DEG) | (high.max(axis=1) < -_POLAR_DEG)
            is_polar &= np.ptp(lat[1:], axis=1) > _PARALLEL_DEG
            areas[is_polar] = _round_the_pole(lon, lat)[is_polar]
        return np.abs(areas) * (_PIECES / self._width)

    def _lonlat(self, xs: Any, ys: Any) -> NDArray[np.float64]:
        """Degrees of places, (2, N); NaN of those that are on no Earth."""
        try:
            found = transform_points(self._crs, CRS.from_epsg(4326), xs, ys)[:2]
        except (RasterioError, CPLE_BaseError):  # one is enough: those at the ends of rows are
            half = len(xs) // 2
            if not half:
                return np.full((2, 1), np.nan)
            halves = [self._lonlat(xs[p], ys[p]) for p in (slice(half), slice(half, None))]
            return np.concatenate(halves, axis=1)
        lonlat = np.array(found)
        lonlat[:, ~np.isfinite(lonlat).all(axis=0)] = np.nan  # of an inf, sines warn
        return lonlat


def _between(lon: Any, lat: Any) -> NDArray[np.float64]:
    """Signed area of each piece between one line of places, (rows + 1, places), and the next.

    In longitude and the area of the zone below a latitude, a figure's area is its own.
    """
    zone = _zone_area_m2(np.radians(lat))
    shift, east = _eastwards(np.diff(lon, axis=0)), _eastwards(np.diff(lon, axis=1))
    # shoelace of each piece, by its two diagonals
    across = (shift[:, 1:] + east[:-1]) * (zone[1:, :-1] - zone[:-1, 1:])
    across -= (shift[:, :-1] - east[:-1]) * (zone[1:, 1:] - zone[:-1, :-1])
    return np.asarray(across / 2)


def _round_the_pole(lon: Any, lat: Any) -> NDArray[np.float64]:
    """As ``_between``, on the azimuthal plane round the nearer pole on which areas are true."""
    distance = np.sqrt(2 * np.abs(_zone_area_m2(np.pi / 2) - _zone_area_m2(np.radians(abs(lat)))))
    x, y = distance * np.cos(np.radians(lon)), distance * np.sin(np.radians(lon))
    across = (x[1:, 1:] - x[:-1, :-1]) * (y[1:, :-1] - y[:-1, 1:])
    across -= (x[1:, :-1] - x[:-1, 1:]) * (y[1:, 1:] - y[:-1, :-1])
    return np.asarray(across / 2)


def pixel_areas(
    transform: Affine | None, crs: Any, *, height: int, width: int
) -> PixelAreas | None:
    """Areas of a raster's pixels.

    A projected CRS is taken by its own unit where its areas are true to 1 % all over the raster
    (UTM, national grids); elsewhere, and for degrees, the area is the ellipsoid's, row by
    row, by the closed form for zones of latitude.

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
    if areas.middle_m2 > 0 and not areas.is_within(grid_m2, _TRUE_WITHIN):
        return areas
    return PixelAreas(transform, crs, height=height, width=width, grid_m2=grid_m2)


def _eastwards(degrees: Any) -> NDArray[np.float64]:
    """Differences of longitude in radians, the short way round: over the date line."""
    return np.asarray(np.radians((degrees + 180) % 360 - 180))


def _zone_area_m2(latitude: Any) -> NDArray[np.float64]:
    """Area from the equator to a latitude, for one radian of longitude.

    Source: Snyder, "Map projections: a working manual", 1987, equation 3-12, times b² / (2 (1 -
    e²)) of the ellipsoid.
    """
    sine, e = np.sin(latitude), math.sqrt(_WGS84_E2)
    zone = sine / (1 - _WGS84_E2 * sine**2) + np.arctanh(e * sine) / e
    return np.asarray(_WGS84_POLAR_AXIS_M**2 / 2 * zone)
