"""Polygons of a class map as arrays, with what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassPolygon:
    """A region of one class: pixels that hang together by their sides.

    Attributes:
        label: Class index.
        polygon: Shapely's, exterior and holes.
        area_px: Pixels, exactly.
        area_m2: On the ground, where the stream was told the areas of pixels.
        confidence: Mean over the pixels, where the stream was given confidence.
    """

    label: int
    polygon: Any
    area_px: int
    area_m2: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class PolygonBatch:
    """Polygons as arrays, for who writes many; iterating gives each as ``ClassPolygon``.

    Attributes:
        labels: Class indices, (P,) uint8.
        polygons: Shapely's, (P,) object.
        area_px: Pixels, (P,) int64.
        area_m2: (P,) float64, or None.
        confidence: (P,) float64, or None.
    """

    labels: NDArray[np.uint8]
    polygons: NDArray[Any]
    area_px: NDArray[np.int64]
    area_m2: NDArray[np.float64] | None = None
    confidence: NDArray[np.float64] | None = None

    @classmethod
    def empty(cls, *, with_m2: bool = False, with_confidence: bool = False) -> PolygonBatch:
        """No polygons."""
        return cls(
            np.empty(0, dtype=np.uint8),
            np.empty(0, dtype=object),
            np.empty(0, dtype=np.int64),
            np.empty(0) if with_m2 else None,
            np.empty(0) if with_confidence else None,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[ClassPolygon]:
        for index in range(len(self)):
            yield ClassPolygon(
                int(self.labels[index]),
                self.polygons[index],
                int(self.area_px[index]),
                None if self.area_m2 is None else float(self.area_m2[index]),
                None if self.confidence is None else float(self.confidence[index]),
            )


def joined(batches: list[PolygonBatch]) -> PolygonBatch:
    """Batches one after the other, at least one of them."""
    if len(batches) == 1:
        return batches[0]

    def stacked(name: str) -> Any:
        values = [getattr(batch, name) for batch in batches]
        return None if values[0] is None else np.concatenate(values)

    return PolygonBatch(
        *(stacked(n) for n in ("labels", "polygons", "area_px", "area_m2", "confidence"))
    )
