"""Polygons in longitude and latitude: sides stay where they were, none runs round the Earth.

A side that is straight in the map's CRS is none in degrees: over 100 km its middle moves by
hundreds of metres, across holes and neighbours. It is halved until what it moves by is nothing;
two polygons that share a side halve it at the same places. Over the date line polygons are cut.

Source: RFC 7946, 3.1.9 (the antimeridian) and 4 (coordinates).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

LONLAT_DECIMALS = 9  # of a degree: a tenth of a millimetre
# that the middle of a side may move by: a centimetre, or a part of a pixel
_STRAIGHT_M, _STRAIGHT_PX = 0.01, 0.02
_M_PER_DEG = 111_000
_TURNS = 3  # of a ring round a pole, to either side
_MAX_HALVINGS = 14  # sides over a pole never become straight

Points = NDArray[np.float64]


def lonlat_polygons(
    polygons: NDArray[Any],
    to_lonlat: Callable[[Points], Points] | None,
    *,
    pixel_m: float = 0.0,
) -> Any:
    """Polygons moved to longitude and latitude, (P,); cut ones are MultiPolygons.

    Args:
        polygons: Shapely's, (P,); neighbours have the same points on the borders that they share.
        to_lonlat: Coordinates (N, 2) -> degrees (N, 2), -180 to 180; None: they are degrees, and
            go on beyond the date line.
        pixel_m: Side of the map's pixels in metres, where it is known.

    Raises:
        shapely.errors.GEOSException: A polygon over the date line or a pole cannot be cut.
    """
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    lonlat = points
    tolerance = max(_STRAIGHT_M, _STRAIGHT_PX * pixel_m) / _M_PER_DEG
    if to_lonlat is not None:
        lonlat, ring = _straight_in_degrees(points, ring, to_lonlat, tolerance)
    beyond = np.abs(lonlat[:, 0]) > 180
    if to_lonlat is not None:
        beyond[1:] |= (np.abs(np.diff(lonlat[:, 0])) > 180) & (ring[1:] == ring[:-1])
    moved = shapely.linearrings(lonlat.round(LONLAT_DECIMALS), indices=ring)
    found = np.asarray(shapely.polygons(moved, indices=polygon))
    begins = np.searchsorted(ring, np.arange(len(rings) + 1))
    on_line = np.abs(lonlat[:, 0]) > 180 - 10.0**-LONLAT_DECIMALS
    meets_line = np.bincount(ring, weights=beyond | on_line, minlength=len(rings)) > 0
    for index in np.unique(polygon[ring[beyond]]):
        first, end = np.searchsorted(polygon, [index, index + 1])
        exterior, *holes = (
            _cut(lonlat[begins[r] : begins[r + 1]], unwrap=to_lonlat is not None)
            for r in range(first, end)
            if r == first or meets_line[r]
        )
        pieces = _pieces(shapely.difference(exterior, shapely.union_all(holes)))
        whole = moved[first + 1 : end][~meets_line[first + 1 : end]]
        found[index] = _with_holes(pieces, whole)
        if not shapely.is_valid(found[index]):  # holes in a row cut a piece in two
            rest = shapely.difference(pieces, shapely.union_all(shapely.polygons(whole)))
            found[index] = _with_holes(np.concatenate([_pieces(one) for one in rest]), whole[:0])
    return found


def _straight_in_degrees(
    points: Points,
    ring: NDArray[np.int64],
    to_lonlat: Callable[[Points], Points],
    tolerance_deg: float,
) -> tuple[Points, NDArray[np.int64]]:
    """Degrees of the points with more between them, and the ring of each."""
    lonlat = to_lonlat(points)
    side = np.flatnonzero(ring[1:] == ring[:-1])  # from a point to the next
    for _ in range(_MAX_HALVINGS):
        middle = (points[side] + points[side + 1]) / 2
        found = to_lonlat(middle)
        lon, lat = (found - lonlat[side]).T
        lon_all, lat_all = (lonlat[side + 1] - lonlat[side]).T
        east = _short_way(lon - _short_way(lon_all) / 2) * np.cos(np.radians(found[:, 1]))
        bent = np.hypot(east, lat - lat_all / 2) > tolerance_deg
        if not bent.any():
            break
        after = side[bent] + 1
        points = np.insert(points, after, middle[bent], axis=0)
        lonlat = np.insert(lonlat, after, found[bent], axis=0)
        ring = np.insert(ring, after, ring[side[bent]])
        new = after + np.arange(len(after))
        side = np.sort(np.concatenate([new - 1, new]))
    return lonlat, ring


def _short_way(degrees: Any) -> Any:
    return (degrees + 180) % 360 - 180


def _cut(ring: Points, *, unwrap: bool) -> Any:
    """What a ring goes round, in pieces between -180 and 180 degrees."""
    lon, lat = ring.T
    if unwrap:
        lon = np.unwrap(lon, period=360)
        turn = lon[-1] - lon[0]
        if abs(turn) > 180:
            return _cut_round_pole(lon[:-1], lat[:-1], turn)
    inside = shapely.make_valid(shapely.polygons(np.column_stack([lon, lat])))
    first, last = (math.floor((value + 180) / 360) for value in (lon.min(), lon.max()))
    pieces = [
        shapely.transform(
            shapely.intersection(inside, shapely.box(turn - 180, -90, turn + 180, 90)),
            lambda points, turn=turn: points - [turn, 0],
        )
        for turn in range(360 * first, 360 * last + 1, 360)
    ]
    return shapely.union_all(pieces)


def _cut_round_pole(lon: Any, lat: Any, turn: float) -> Any:
    """What a ring goes round that has a pole in it: all from the ring to that pole.

    The ring comes many times, so that the ends, where it may go to and fro, lie far away.
    """
    times = np.arange(-_TURNS, _TURNS + 1) * turn
    lons = (lon + times[:, None]).ravel()
    lons = np.append(lons, [lons[-1], lons[0]])
    lats = np.append(np.tile(lat, len(times)), [math.copysign(90, lat.mean())] * 2)
    inside = shapely.make_valid(shapely.polygons(np.column_stack([lons, lats])))
    return shapely.intersection(inside, shapely.box(-180, -90, 180, 90))


def _pieces(shape: Any) -> NDArray[Any]:
    """Its polygons, without lines where it only touched, to the last decimal that is kept."""
    # a rounded point could lie on the other side of a line: GEOS rounds so that none does
    parts = shapely.get_parts(shapely.set_precision(shape, 10.0**-LONLAT_DECIMALS))
    parts = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return np.asarray(shapely.transform(parts, lambda points: points.round(LONLAT_DECIMALS)))


def _with_holes(pieces: NDArray[Any], holes: NDArray[Any]) -> Any:
    """One shape of the pieces, with holes that lie in one of them: far faster than cutting."""
    hole, piece = shapely.STRtree(pieces).query(
        shapely.point_on_surface(shapely.polygons(holes)), predicate="within"
    )
    rings, owner = shapely.get_rings(pieces, return_index=True)
    rings, owner = np.concatenate([rings, holes[hole]]), np.concatenate([owner, piece])
    order = np.argsort(owner, kind="stable")  # exteriors stay first
    whole = shapely.polygons(rings[order], indices=owner[order])
    return whole[0] if len(whole) == 1 else shapely.multipolygons(whole)
