"""The map of a scene as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from mmrs.geo.georeference import Georeference
from mmrs.geo.maps.area_table import AreaTable
from mmrs.geo.pixel_area import pixel_areas


@dataclass(frozen=True, eq=False)
class ScenePrediction:
    """What was predicted of a scene, in memory.

    Attributes:
        labels: (H, W) uint8 class indices, 255 where there is no data.
        confidence: (H, W) float32 largest probability, NaN where there is no data; or None.
        entropy: (H, W) float32, from 0 (certain) to 1 (all classes equal), NaN likewise; or None.
        probabilities: (K, H, W) float32, NaN likewise; or None.
        classes: Names, in the order of the indices.
        palette: RGB of each class.
        georeference: Where the scene lies; of it ``transform`` and ``crs``.
        pixels: Number of pixels of each class.
        nodata_pixels: Number of pixels without a prediction.
        windows: Number of windows in the plan.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None
    entropy: NDArray[np.float32] | None
    probabilities: NDArray[np.float32] | None
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    georeference: Georeference
    pixels: tuple[int, ...]
    nodata_pixels: int
    windows: int

    @property
    def transform(self) -> Affine | None:
        """Pixel (column, row) -> CRS coordinates, or None."""
        return self.georeference.transform

    @property
    def crs(self) -> Any:
        """The coordinate reference system, or None."""
        return self.georeference.crs

    @property
    def areas(self) -> AreaTable:
        """Pixels and, where it is known how large they are, areas of the classes."""
        height, width = self.labels.shape
        place = self.georeference
        table = AreaTable(
            self.classes,
            areas=pixel_areas(place.transform, place.crs, height=height, width=width),
        )
        table.push(self.labels)
        return table

    @property
    def area_m2(self) -> NDArray[np.float64] | None:
        """Area of each class in m², (K,); None where nothing says how large a pixel is."""
        return self.areas.area_m2
