"""Polygons as labels: brought to a raster, burnt into windows as they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

from mmrs.errors import DataError
from mmrs.geo.raster import Raster, to_coordinates, window_transform
from mmrs.geo.windows import Window

NO_POLYGON = -1
_POLYGON_TYPES = (3, 6)
_OUTLINE = 33  # points along each side of a raster


class Polygons:
    """Polygons with a class each, in the order of the file: where two overlap, the later counts.

    Attributes:
        path: The file.
        geometries: Shapely's, (N,), as stored.
        ids: Class of each, (N,) int64.
        crs: Of the coordinates.
    """

    def __init__(
        self, path: str | Path, geometries: NDArray[Any], ids: NDArray[np.int64], crs: CRS
    ) -> None:
        self.path = Path(path)
        self.geometries = geometries
        self.ids = ids
        self.crs = crs
        self._tree = shapely.STRtree(geometries)

    def __getstate__(self) -> dict[str, Any]:
        # as WKB: smaller than Shapely's own pickles, and the tree is quick to make anew
        return {
            "path": self.path,
            "wkb": shapely.to_wkb(self.geometries),
            "ids": self.ids,
            "crs": self.crs.to_wkt(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        crs = CRS.from_wkt(state["crs"])
        self.__init__(  # type: ignore[misc]
            state["path"], shapely.from_wkb(state["wkb"]), state["ids"], crs
        )

    def meet(self, raster: Raster) -> bool:
        """Whether any of them may lie on a raster, by the boxes around each and it.

        Raises:
            DataError: The raster lies where the polygons' CRS does not hold.
        """
        return len(self._tree.query(self._extent(raster))) > 0

    def surround(self, raster: Raster) -> bool:
        """Whether a raster meets the box around all of them; False where there are none.

        Raises:
            DataError: As ``meet``.
        """
        if not len(self.geometries):
            return False
        whole = shapely.box(*shapely.total_bounds(self.geometries))
        return bool(shapely.intersects(whole, self._extent(raster)))

    def near(self, raster: Raster) -> Polygons:
        """The polygons at a raster, in its CRS.

        In another CRS than their own they are cut half a raster away from it, because projections
        fold or fail far from where they hold; and long edges get vertices, because a straight line
        of one CRS is bent in another.

        Args:
            raster: With a CRS and a grid.

        Raises:
            DataError: The raster lies where the polygons' CRS does not hold.
        """
        crs = raster.georeference.crs
        if crs == self.crs:
            return self
        low_x, low_y, high_x, high_y = self._extent(raster).bounds
        margin = ((high_x - low_x) / 2, (high_y - low_y) / 2)
        around = shapely.box(
            low_x - margin[0], low_y - margin[1], high_x + margin[0], high_y + margin[1]
        )
        found = np.sort(self._tree.query(around))
        geometries, index = shapely.get_parts(
            _cut(self.geometries[found], around), return_index=True
        )
        # a polygon that only touches the cut leaves a line there
        keep = np.isin(shapely.get_type_id(geometries), _POLYGON_TYPES)
        dense = shapely.segmentize(geometries[keep], _longest_edge(self.crs))
        moved = shapely.transform(
            dense, lambda points: self._moved(points, self.crs, crs, raster.path)
        )
        return Polygons(self.path, moved, self.ids[found][index[keep]], crs)

    def _extent(self, raster: Raster) -> Any:
        """The box around a raster, in these coordinates."""
        transform = raster.georeference.transform or Affine.identity()
        cols, rows = np.meshgrid(
            np.linspace(0, raster.width, _OUTLINE), np.linspace(0, raster.height, _OUTLINE)
        )
        places = np.column_stack([*to_coordinates(transform, cols.ravel(), rows.ravel())])
        points = self._moved(places, raster.georeference.crs, self.crs, raster.path)
        return shapely.box(*points.min(axis=0), *points.max(axis=0))

    def _moved(
        self, points: NDArray[np.float64], source: CRS, target: CRS, where: Path
    ) -> NDArray[np.float64]:
        """Points (N, 2) in another CRS."""
        try:
            moved = np.column_stack(transform_points(source, target, points[:, 0], points[:, 1]))
        except (RasterioError, CPLE_BaseError) as error:
            raise self._unplaced(where, str(error)) from error
        if not np.isfinite(moved).all():
            raise self._unplaced(where, "no finite coordinates")
        return moved

    def _unplaced(self, where: Path, cause: str) -> DataError:
        return DataError(
            f"the polygons of {self.path} cannot be brought to its CRS ({cause})",
            where=where,
            fix="check the CRS of both; one of them may be declared wrongly",
        )

    def burn(
        self, window: Window, transform: Affine, *, all_touched: bool = False
    ) -> NDArray[np.int64]:
        """Class ids of a window's pixels, (height, width); -1 in no polygon.

        Args:
            window: In pixels of the raster.
            transform: Of the raster, pixel -> coordinates of these polygons.
            all_touched: Every pixel that a polygon touches, else those whose centre it covers.
        """
        shape = (window.height, window.width)
        here = window_transform(transform, window)
        xs, ys = to_coordinates(
            here, np.array([0, shape[1], 0, shape[1]]), np.array([0, 0, shape[0], shape[0]])
        )
        found = np.sort(self._tree.query(shapely.box(xs.min(), ys.min(), xs.max(), ys.max())))
        burnt = np.full(shape, NO_POLYGON, dtype=np.int32)
        if len(found):
            rasterio.features.rasterize(
                [(self.geometries[i], int(self.ids[i])) for i in found],
                out=burnt,
                transform=here,
                all_touched=all_touched,
            )
        return burnt.astype(np.int64)


def area_mask(area: Polygons, window: Window, transform: Affine) -> NDArray[np.bool_]:
    """Which pixels of a window have their centre in an area, (height, width)."""
    return area.burn(window, transform) != NO_POLYGON


def _cut(geometries: NDArray[Any], around: Any) -> NDArray[Any]:
    """The geometries, those that reach beyond a box cut at its sides."""
    beyond = ~shapely.covered_by(shapely.envelope(geometries), around)
    sound = beyond & shapely.is_valid(geometries)
    cut = geometries.copy()
    cut[sound] = shapely.intersection(geometries[sound], around)
    # what crosses itself cannot be intersected, but cut line by line
    cut[beyond & ~sound] = shapely.clip_by_rect(geometries[beyond & ~sound], *around.bounds)
    return cut


def _longest_edge(crs: CRS) -> float:
    """An edge of half a kilometre, in units of a CRS: bent, it is off by less than a centimetre."""
    if crs.is_geographic:
        return 0.005
    return float(500 / crs.linear_units_factor[1]) if crs.is_projected else np.inf
