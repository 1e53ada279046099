"""How a dense CRF goes over a scene; imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mmrs.errors import ConfigError
from mmrs.geo.raster import Raster

_NOT_OF_THE_CRF = ("tile_px", "halo_px", "bands", "color_scale")


@dataclass(frozen=True)
class CRFSettings:
    """A dense CRF over the blended probabilities of a scene, in tiles.

    Tile lines are counted from the scene's first row, wherever a run begins.

    Attributes:
        tile_px: Side of a tile, in pixels of the scene.
        halo_px: What a tile sees around it; None: twice the largest sigma that is in use, which
            holds 95 % of a Gaussian.
        bands: Which bands of the file are the colours, counted from 1; None: the first three of
            those that the model reads.
        color_scale: Brings pixel values to the units of ``bilateral_color_sigma``, which is made
            for 0 to 255: 255 / 2047 for 11 bits in 16.  None: 1, for 8 bits alone.
        num_iters: This and what follows: as of `mmrs.ops.crf.dense_crf`.
        spatial_sigma_px: Likewise.
        spatial_weight: Likewise.
        bilateral_sigma_px: Likewise.
        bilateral_color_sigma: Likewise.
        bilateral_weight: Likewise.
        compatibility: Likewise; K tuples of K numbers.
        min_probability: Likewise.
        num_rings: Likewise.

    Raises:
        ConfigError: A number is out of range.
    """

    tile_px: int = 512
    halo_px: int | None = None
    bands: tuple[int, ...] | None = None
    color_scale: float | None = None
    num_iters: int = 10
    spatial_sigma_px: float = 3.0
    spatial_weight: float = 3.0
    bilateral_sigma_px: float = 80.0
    bilateral_color_sigma: float = 13.0
    bilateral_weight: float = 10.0
    compatibility: tuple[tuple[float, ...], ...] | None = None
    min_probability: float = 1e-5
    num_rings: int = 1

    def __post_init__(self) -> None:
        at_least = {
            "tile_px": 1, "halo_px": 0, "num_iters": 0, "spatial_weight": 0,
            "bilateral_weight": 0, "num_rings": 0,
        }  # fmt: skip
        above = ("color_scale", "spatial_sigma_px", "bilateral_sigma_px", "bilateral_color_sigma")
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise ConfigError(f"{name} must be >= {least}, got {value}", where="crf")
        for name in above:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be > 0, got {value}", where="crf")
        if not 0 < self.min_probability < 1:
            raise ConfigError(
                f"min_probability must be in (0, 1), got {self.min_probability}", where="crf"
            )

    @property
    def halo(self) -> int:
        """What a tile sees around it, in pixels."""
        if self.halo_px is not None:
            return self.halo_px
        sigmas = (
            self.spatial_sigma_px if self.spatial_weight else 0,
            self.bilateral_sigma_px if self.bilateral_weight else 0,
        )
        return math.ceil(2 * max(sigmas))

    @property
    def options(self) -> dict[str, Any]:
        """Of `mmrs.ops.crf.dense_crf`."""
        return {name: value for name, value in vars(self).items() if name not in _NOT_OF_THE_CRF}

    def needed_rows(self, rows: range, height: int) -> range:
        """The rows whose probabilities, and pixels, it takes to refine some rows of a scene."""
        if not rows:
            return rows
        first = rows.start // self.tile_px * self.tile_px
        last = -(-rows.stop // self.tile_px) * self.tile_px
        return range(max(0, first - self.halo), min(height, last + self.halo))


def color_bands(settings: CRFSettings, raster: Raster) -> tuple[list[int], float]:
    """Which of the bands that are read are the colours, counted from 0, and their scale.

    Raises:
        ConfigError: A band is not among them, or the scale must be said.
    """
    found = raster.bands
    chosen = found[:3] if settings.bands is None else settings.bands
    missing = [band for band in chosen if band not in found]
    if missing or not chosen:
        raise ConfigError(
            f"bands {list(chosen)} are to be the colours, but the model reads {list(found)}",
            where="crf",
            fix="choose among these",
        )
    if settings.color_scale is None and raster.dtype != "uint8" and settings.bilateral_weight:
        raise ConfigError(
            f"nothing says how large the values of {raster.dtype} are, and the colour sigma is "
            "made for 0 to 255",
            where=raster.path,
            fix="set color_scale of the CRF (--crf-scale): 255 by the largest value that the "
            "sensor gives, such as 255/2047 = 0.1246",
        )
    return [found.index(band) for band in chosen], settings.color_scale or 1.0
