"""From rows to polygons in a file: small regions, simpler borders, and where every pixel went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from mmrs.errors import LabelError, OutputError
from mmrs.geo.georeference import Georeference, window_transform
from mmrs.geo.ground_sampling import ground_sampling
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.pixel_area import PixelAreas
from mmrs.geo.polygons.row_strips import Rows, RowStrips
from mmrs.geo.polygons.sieve import Sieve
from mmrs.geo.polygons.simplify import kept_corners, rows_of_strip
from mmrs.geo.polygons.vector_file import VectorFile
from mmrs.geo.polygons.vector_options import VectorOptions, VectorReport
from mmrs.geo.polygons.vectorize import PolygonStream
from mmrs.geo.windows import Window


class VectorOutput:
    """Takes the rows of a class map and writes its polygons; made by ``vectors.vector_output``.

    Attributes:
        rows: Rows taken.
        report: What was written, once ``finish`` was called.
    """

    def __init__(
        self,
        file: VectorFile,
        target: Path,
        *,
        height: int,
        width: int,
        num_classes: int,
        reference: Georeference,
        areas: PixelAreas | None,
        options: VectorOptions,
    ) -> None:
        self.rows = 0
        self.report: VectorReport | None = None
        self._file, self._target, self._height = file, target, height
        self._num_classes, self._areas = num_classes, areas
        self._nodata_px = 0
        self._sieve = _sieve(options, areas, height=height, width=width)
        self._tolerance_px = _tolerance_px(options, reference, height=height, width=width)
        self._keep_outline = options.keep_outline
        self._strips = RowStrips(rows_of_strip(width)) if self._tolerance_px else None
        self._stream = PolygonStream(
            width, reference.transform, junctions=_needs_junctions(target, reference)
        )

    def push(self, labels: NDArray[np.uint8], confidence: NDArray[np.floating] | None) -> None:
        """Take the next rows.

        Args:
            labels: (n, width) class indices, 255 where there is none.
            confidence: (n, width), where the file tells it.

        Raises:
            LabelError: A label is no class.
            OutputError: The polygons cannot be written.
            ValueError: A shape does not fit, or there are more rows than the map has.
        """
        count = len(labels)
        if self.rows + count > self._height:
            raise ValueError(f"row {self.rows + count} of a map of {self._height}")
        self._nodata_px += self._count_nodata(labels)
        pixel_m2 = None if self._areas is None else self._areas.of_pixels(self.rows, count)
        self.rows += count
        rows = Rows(labels, confidence, pixel_m2)
        for sifted in [rows] if self._sieve is None else self._sieve.push(rows):
            self._to_strips(sifted)

    def _count_nodata(self, labels: NDArray[np.uint8]) -> int:
        classless = labels == NODATA_LABEL
        wrong = labels[(labels >= self._num_classes) & ~classless]
        if len(wrong):
            raise LabelError(
                f"label {wrong[0]} occurs, but there are {self._num_classes} classes",
                where=self._target,
                fix="name every class",
            )
        return int(np.count_nonzero(classless))

    def _to_strips(self, rows: Rows) -> None:
        for strip in [rows] if self._strips is None else self._strips.push(rows):
            self._to_polygons(strip)

    def _to_polygons(self, rows: Rows) -> None:
        kept = None
        if self._tolerance_px:
            outline = self._keep_outline
            kept = kept_corners(rows.labels, self._tolerance_px, keep_outline=outline)[:-1]
        self._file.write(
            self._stream.push(rows.labels, rows.confidence, row_area_m2=rows.pixel_m2, kept=kept)
        )

    def finish(self) -> VectorReport:
        """Write what waits; call it after the last row.

        Raises:
            OutputError: Rows are missing, or the polygons cannot be written.
        """
        if self.rows != self._height:
            raise OutputError(
                f"only {self.rows} of {self._height} rows were written", where=self._target
            )
        rest = None if self._sieve is None else self._sieve.finish()
        if rest is not None:
            self._to_strips(rest)
        rest = None if self._strips is None else self._strips.finish()
        if rest is not None:
            self._to_polygons(rest)
        self._file.write(self._stream.finish())
        self.report = self._account()
        return self.report

    def _account(self) -> VectorReport:
        """Where every pixel went; raises where one is missing."""
        sieve, file = self._sieve, self._file
        report = VectorReport(
            self._target,
            features=file.features,
            points=file.points,
            area_px=file.area_px,
            area_m2=None if self._areas is None else file.area_m2,
            nodata_px=self._nodata_px,
            moved_regions=sieve.moved_regions if sieve else 0,
            moved_px=sieve.moved_px if sieve else 0,
            dropped_regions=sieve.dropped_regions if sieve else 0,
            dropped_px=sieve.dropped_px if sieve else 0,
        )
        told = report.area_px + report.nodata_px + report.dropped_px
        if told != self._height * self._stream.width:
            raise OutputError(
                f"{told} pixels of {self._height * self._stream.width} are accounted for: a "
                "defect of this program",
                where=self._target,
            )
        return report


def _needs_junctions(target: Path, reference: Georeference) -> bool:
    """Whether straight borders of the grid are not quite straight in the file's coordinates.

    Neighbours must then have the same points on the borders that they share.
    """
    if reference.transform is None:
        return False
    rotated = not (reference.transform.b == 0 == reference.transform.d)
    is_lonlat = CRS.from_user_input(reference.crs).to_epsg() == 4326 if reference.crs else False
    reprojected = target.suffix.lower() == ".geojson" and not is_lonlat
    return rotated or reprojected


def _tolerance_px(
    options: VectorOptions, reference: Georeference, *, height: int, width: int
) -> float:
    """In pixels, such that no way across a pixel makes more of it than is allowed."""
    if not options.simplify_m or reference.transform is None:
        return options.simplify_px
    samplings = [
        ground_sampling(
            window_transform(reference.transform, Window(row, col, 1, 1)),
            reference.crs,
            height=1,
            width=1,
        )
        for row in (0, height // 2, height - 1)
        for col in (0, width // 2, width - 1)
    ]
    longest = [max(sampling) for sampling in samplings if sampling is not None]
    return options.simplify_m / max(longest) if longest else options.simplify_px


def _sieve(
    options: VectorOptions, areas: PixelAreas | None, *, height: int, width: int
) -> Sieve | None:
    merge = options.small == "merge"
    if options.min_area_px > 1:
        return Sieve(width, options.min_area_px, merge=merge)
    if not options.min_area_m2 or areas is None:
        return None
    some = np.concatenate([areas.of_pixels(r, 1).ravel() for r in (0, height // 2, height - 1)])
    return Sieve(
        width,
        options.min_area_m2,
        in_m2=True,
        smallest_pixel_m2=float(some[some > 0].min(initial=areas.middle_m2)),
        merge=merge,
    )
