"""Which corners of a class map's borders may go, decided once for both sides of each border.

The borders of a class map are lines between the points where three regions meet. They are made
simpler as lines, not polygon by polygon, so neighbours keep sharing them: no gap and no overlap
can arise. What decides on a corner is the strip of rows that it lies in, and the corners on the
lines between strips stay, so a map of any height is made simpler as it comes, whatever the pieces.

A corner goes when the triangle that it forms with its neighbours on the line is smaller than the
square of the tolerance, the smallest first, and never when another point lies in that triangle:
lines cannot cross, regions cannot collapse, and the border of the area with data stays as it is.

Source: Visvalingam and Whyatt, "Line generalisation by repeated elimination of points", 1993;
the coverage simplifier of GEOS does it for all polygons of a strip together.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.vectorize import PolygonStream

STRIP_ROWS = 256


def kept_corners(
    labels: NDArray[np.uint8], tolerance_px: float, *, nodata: int = NODATA_LABEL
) -> NDArray[np.bool_]:
    """Corners that stay when the borders inside a strip are made simpler.

    Args:
        labels: Class indices, (n, W).
        tolerance_px: Side of the square whose area a corner's triangle must have to stay, in
            pixels.
        nodata: The label of what has no class.

    Returns:
        (n + 1, W + 1): whether the corner above and left of each pixel stays; those on the
        upper, the lower, the left and the right side of the strip do.

    Raises:
        ValueError: The tolerance is negative or not finite.
    """
    check_tolerance(tolerance_px)
    height, width = labels.shape
    stream = PolygonStream(width, nodata=nodata, junctions=True)
    polygons = np.concatenate([stream.push(labels).polygons, stream.finish().polygons])
    kept = np.zeros((height + 1, width + 1), dtype=bool)
    kept[[0, -1]] = kept[:, [0, -1]] = True
    if len(polygons):
        simple = shapely.coverage_simplify(polygons, tolerance_px, simplify_boundary=False)
        points = shapely.get_coordinates(simple).astype(np.int64)
        kept[points[:, 1], points[:, 0]] = True
    return kept


def check_tolerance(tolerance_px: float) -> None:
    """Refuse a tolerance that is negative or not finite.

    Raises:
        ValueError: It is.
    """
    if not 0 <= tolerance_px < float("inf"):
        raise ValueError(f"tolerance must be >= 0, got {tolerance_px}")
