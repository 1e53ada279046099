"""Where a raster lies on Earth, and how its pixels become coordinates."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning

from mmrs.geo.windows import Window

_SILENCE = threading.Lock()
_FILTER = ("ignore", None, NotGeoreferencedWarning, None, 0)  # as `warnings` keeps it
_silent = 0  # threads, and calls within one, that want silence

_MAX_PRJ_BYTES = 2**16


@dataclass(frozen=True)
class Georeference:
    """Where a raster lies: whatever of CRS, grid, control points and RPCs it carries.

    Attributes:
        crs: Coordinate reference system of ``transform``, or None.
        transform: Pixel (column, row) -> CRS coordinates, rotation and shear included; None
            where the file has none.
        gcps: Ground control points, often of scenes not yet rectified.
        gcps_crs: Coordinate reference system of the control points.
        rpcs: Rational polynomial coefficients, as rasterio holds them.
    """

    crs: Any = None
    transform: Affine | None = None
    gcps: tuple[Any, ...] = ()
    gcps_crs: Any = None
    rpcs: Any = None

    @property
    def is_missing(self) -> bool:
        """Whether nothing says where the raster lies on Earth."""
        on_grid = self.crs is not None and self.transform is not None
        return not (on_grid or self.gcps or self.rpcs is not None)

    @property
    def gsd(self) -> float | None:
        """Length of a pixel's side in units of the CRS (metres if projected), or None."""
        if self.transform is None:
            return None
        return float(abs(self.transform.determinant) ** 0.5)


def read_georeference(dataset: Any) -> Georeference:
    """What an open file of rasterio's says of where it lies."""
    gcps, gcps_crs = dataset.gcps
    transform = None if dataset.transform.is_identity else dataset.transform
    # some drivers name a CRS of points that they do not have
    return Georeference(
        dataset.crs, transform, tuple(gcps), gcps_crs if gcps else None, dataset.rpcs
    )


def with_projection_file(reference: Georeference, path: Path) -> Georeference:
    """The same with the CRS of the ``.prj`` beside a raster that has a grid but no CRS.

    World files hold the grid alone, and GDAL does not look for the CRS beside them.  What is no
    WKT leaves the raster without one.

    Args:
        reference: What the raster and its world file say.
        path: The raster.
    """
    if reference.crs is not None or reference.transform is None:
        return reference
    for suffix in (".prj", ".PRJ"):
        file = path.with_suffix(suffix)
        try:
            if file.is_file() and file.stat().st_size < _MAX_PRJ_BYTES:
                text = file.read_text(encoding="utf-8", errors="replace")
                crs = CRS.from_wkt(text, morph_from_esri_dialect=True)
                return replace(reference, crs=crs)
        except (OSError, CRSError):
            continue
    return reference


def to_coordinates(transform: Affine, col: Any, row: Any) -> tuple[Any, Any]:
    """Coordinates (x, y) of a place given in pixels; numbers or arrays."""
    # affine 3 warns of `*`, affine 2 knows no `@`
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * col + b * row + c, d * col + e * row + f


def window_transform(transform: Affine, window: Window) -> Affine:
    """The transform of a window of a raster, pixel (column, row) of the window -> coordinates."""
    a, b, _, d, e, _ = tuple(transform)[:6]
    x, y = to_coordinates(transform, window.col, window.row)
    return Affine(a, b, x, d, e, y)


@contextmanager
def allow_missing_georeference() -> Iterator[None]:
    """Silence rasterio's warning: whoever needs a georeference asks for it and says so.

    Several threads may be inside at a time; ``warnings.catch_warnings`` restores the filters that
    it found, and so takes away what another thread still needs.
    """
    global _silent
    with _SILENCE:
        _silent += 1
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        yield
    finally:
        with _SILENCE:
            _silent -= 1
            if not _silent:
                with suppress(ValueError):  # somebody else has restored filters meanwhile
                    warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]
