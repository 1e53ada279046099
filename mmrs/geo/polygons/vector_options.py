"""How a class map becomes polygons, and what became of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmrs.errors import ConfigError

SmallRegions = Literal["merge", "drop"]
LARGEST = 1e15  # more than the Earth has square metres


@dataclass(frozen=True)
class VectorOptions:
    """How a class map becomes polygons.

    Attributes:
        min_area_m2: Smaller regions are not kept apart, see ``small``; or
        min_area_px: in pixels, where the size of a pixel is not known.
        simplify_m: How far simpler borders may lie from the sides of the pixels, which 0 keeps
            to, see ``mmrs.geo.polygons.simplify``; or
        simplify_px: in pixels.
        keep_outline: Borders with nodata keep to the sides of the pixels, so that the polygons
            together cover the same area as before; else they become simpler too.
        small: What becomes of regions below the minimum area: they take the class of the
            neighbour with the longest common border (``merge``, see
            ``mmrs.geo.polygons.sieve``), or become nodata (``drop``).
    """

    min_area_m2: float = 0.0
    min_area_px: float = 0.0
    simplify_m: float = 0.0
    simplify_px: float = 0.0
    keep_outline: bool = True
    small: SmallRegions = "merge"

    def __post_init__(self) -> None:
        for one, other in (("min_area_m2", "min_area_px"), ("simplify_m", "simplify_px")):
            for name in (one, other):
                value = getattr(self, name)
                if not 0 <= value <= LARGEST:
                    raise ConfigError(f"{name} must be in 0 .. 1e15, got {value}")
            if getattr(self, one) and getattr(self, other):
                raise ConfigError(f"{one} and {other} are both given", fix="choose one")
        if self.small not in ("merge", "drop"):
            raise ConfigError(f"small must be merge or drop, got {self.small!r}")

    @property
    def needs_metres(self) -> bool:
        """Whether the size of a pixel must be known."""
        return bool(self.min_area_m2 or self.simplify_m)


@dataclass(frozen=True)
class VectorReport:
    """Polygons that were written, and where every pixel of the map went.

    Attributes:
        path: The file.
        features: Polygons.
        points: Their points, those that close rings included.
        area_px: Pixels in polygons.
        area_m2: Their area, or None where the size of a pixel is not known.
        nodata_px: Pixels that had no class before.
        moved_regions: Small regions that took a neighbour's class.
        moved_px: Their pixels; they are in polygons.
        dropped_regions: Small regions that are in no polygon.
        dropped_px: Their pixels.
    """

    path: Path
    features: int
    points: int
    area_px: int
    area_m2: float | None
    nodata_px: int
    moved_regions: int = 0
    moved_px: int = 0
    dropped_regions: int = 0
    dropped_px: int = 0

    def summary(self) -> str:
        """The file, and what became of small regions, in one line."""
        area = f"{self.area_px} px" if self.area_m2 is None else f"{self.area_m2 / 1e4:.4g} ha"
        told = [f"{self.path}: {self.features} polygons, {area}"]
        for count, pixels, what in (
            (self.moved_regions, self.moved_px, "given to neighbours"),
            (self.dropped_regions, self.dropped_px, "dropped"),
        ):
            if count:
                regions = "small region" if count == 1 else "small regions"
                told.append(f"{count} {regions} ({pixels} px) {what}")
        return "; ".join(told)
