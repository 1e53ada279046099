"""How many metres on the ground a pixel of a raster covers, whatever units its CRS counts in."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

_WGS84_AXIS_M = 6_378_137.0
_WGS84_E2 = 6.694379990141317e-3  # first eccentricity, squared
# National grids and UTM zones are true to about a thousandth; a Mercator map of the web is off
# by a half in middle latitudes.
_TRUE_WITHIN = 0.02


class GroundSampling(NamedTuple):
    """Size of a pixel on the ground, in metres.

    Attributes:
        col_m: From one column to the next.
        row_m: From one row to the next.
    """

    col_m: float
    row_m: float

    @property
    def mean_m(self) -> float:
        """Side of the square pixel of the same area."""
        return math.sqrt(self.col_m * self.row_m)

    def __str__(self) -> str:
        if abs(self.col_m / self.row_m - 1) <= 0.01:
            return f"{self.mean_m:.4g} m"
        return f"{self.col_m:.4g} x {self.row_m:.4g} m"


def ground_sampling(
    transform: Affine | None, crs: Any, *, height: int, width: int
) -> GroundSampling | None:
    """Metres from a pixel to the next, at the middle of a raster.

    A projected CRS is taken by its own unit where that is true to 2 % (UTM, national grids: a
    pixel of 10 m stays 10 m); elsewhere, and for degrees, the distance is the ellipsoid's at the
    raster's middle. Rotated and sheared grids are measured along their own rows and columns.

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
    if transform is None or crs is None:
        return None
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be >= 1, got {height} and {width}")
    if transform.determinant == 0:
        raise ValueError(f"the transform is degenerate: {tuple(transform)[:6]}")
    crs = CRS.from_user_input(crs)
    measured = _on_ellipsoid(transform, crs, height, width)
    nominal = _nominal(transform, crs)
    if nominal is None or measured is None:
        return nominal or measured
    near = all(abs(n / m - 1) <= _TRUE_WITHIN for n, m in zip(nominal, measured, strict=True))
    return nominal if near else measured


def _nominal(transform: Affine, crs: CRS) -> GroundSampling | None:
    """By the unit of a projected CRS; feet and the like become metres."""
    if not crs.is_projected:
        return None
    _, metres = crs.linear_units_factor
    return GroundSampling(
        math.hypot(transform.a, transform.d) * metres, math.hypot(transform.b, transform.e) * metres
    )


def _on_ellipsoid(transform: Affine, crs: CRS, height: int, width: int) -> GroundSampling | None:
    """From pixel to pixel over WGS 84, at the middle of the raster."""
    col, row = width / 2, height / 2
    pixels = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
    # affine 3 warns of `*`, affine 2 knows no `@`
    a, b, c, d, e, f = tuple(transform)[:6]
    places = [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]
    try:
        lon, lat = transform_points(
            crs, CRS.from_epsg(4326), [x for x, _ in places], [y for _, y in places]
        )[:2]
    except (RasterioError, CPLE_BaseError):  # the second is what a local CRS raises
        return None
    if not all(math.isfinite(value) for value in (*lon, *lat)):
        return None
    sides = [_distance_m(lon[i], lat[i], lon[i + 1], lat[i + 1]) for i in (0, 2)]
    return GroundSampling(*sides) if all(side > 0 for side in sides) else None


def _distance_m(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Between two places of a pixel's distance, by the radii of curvature at their middle."""
    middle = math.radians((lat1 + lat2) / 2)
    flat = 1 - _WGS84_E2 * math.sin(middle) ** 2
    meridian = _WGS84_AXIS_M * (1 - _WGS84_E2) / flat**1.5
    normal = _WGS84_AXIS_M / math.sqrt(flat)
    east = (lon2 - lon1 + 180) % 360 - 180  # over the date line
    return math.hypot(
        math.radians(east) * normal * math.cos(middle), math.radians(lat2 - lat1) * meridian
    )
