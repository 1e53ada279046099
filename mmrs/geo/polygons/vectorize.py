"""Polygons of a class map whose rows come from the top down, each as soon as it is complete."""

from __future__ import annotations

from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.polygons.polygon_batch import PolygonBatch, joined
from mmrs.geo.polygons.region_corners import region_corners
from mmrs.geo.polygons.region_sums import RegionSums, sums_of_runs
from mmrs.geo.polygons.rings import CornerGrid, polygons_of
from mmrs.geo.polygons.runs import Runs, find_runs, join, stretches

CHUNK_PX = 1 << 21  # rows are worked on in chunks of about so many pixels


class PolygonStream:
    """Takes the rows of a class map and gives its polygons.

    Pixels of one class are one region where they share sides (4-connected). What is kept are the
    last row and the corners of the regions that touch it, whatever the height of the scene. The
    polygons follow the sides of the pixels: burnt at their own grid they give the map again.

    Args:
        width: Columns.
        transform: Pixel (column, row) -> coordinates; None leaves pixels, rows downwards.
        nodata: The label that belongs to no polygon.
        junctions: Give every polygon the points where two others meet on its border, so that
            neighbours have the same points on the border that they share.

    Attributes:
        rows: Rows taken so far.
        open_regions: Regions that touch the last row.

    Raises:
        ValueError: The width is < 1, or the transform squeezes the map to a line.
    """

    def __init__(
        self,
        width: int,
        transform: Affine | None = None,
        *,
        nodata: int = NODATA_LABEL,
        junctions: bool = False,
    ) -> None:
        if width < 1:
            raise ValueError(f"width must be >= 1, got {width}")
        if transform is not None and transform.determinant == 0:
            raise ValueError(f"the transform is degenerate: {tuple(transform)[:6]}")
        self.width = int(width)
        self.rows = 0
        self.open_regions = 0
        self._transform = transform
        self._nodata = nodata
        self._junctions = junctions
        self._grid = CornerGrid(self.width.bit_length())
        self._row = np.full(width, nodata, dtype=np.uint8)
        self._region_of_pixel = np.full(width, -1, dtype=np.int32)  # -1: no data
        self._labels = np.empty(0, dtype=np.uint8)
        self._sums = RegionSums.nothing()
        self._corners: list[list[NDArray[np.int64]]] = []
        self._with_confidence: bool | None = None
        self._with_areas: bool | None = None
        self._finished = False

    def push(
        self,
        labels: NDArray[np.uint8],
        confidence: NDArray[np.floating] | None = None,
        *,
        row_area_m2: NDArray[np.float64] | None = None,
        kept: NDArray[np.bool_] | None = None,
    ) -> PolygonBatch:
        """Take the next rows.

        Args:
            labels: (n, width) uint8.
            confidence: (n, width), or None; with all rows or with none.
            row_area_m2: Of a pixel of each row, (n,), or in each of P equal pieces of it, (n, P);
                likewise.
            kept: Which corners of the pixels on the upper side of these rows stay in the
                polygons, (n, width + 1); all where it is left out. See
                ``mmrs.geo.polygons.simplify``.

        Returns:
            The polygons that no later row can touch, by their last row and their first pixel.

        Raises:
            ValueError: A shape or type does not fit, or ``finish`` was called before.
        """
        self._check(labels, confidence, row_area_m2, kept)
        step = max(1, CHUNK_PX // self.width)
        done = []
        for row in range(0, len(labels), step):
            part = slice(row, row + step)
            done.append(
                self._advance(
                    labels[part],
                    None if confidence is None else confidence[part],
                    None if row_area_m2 is None else row_area_m2[part],
                    None if kept is None else kept[part],
                )
            )
        return joined(done) if done else self._nothing()

    def finish(self) -> PolygonBatch:
        """The polygons that the last row left open.

        Raises:
            ValueError: It was called before.
        """
        if self._finished:
            raise ValueError("finish is called once")
        self._finished = True
        empty = np.full((1, self.width), self._nodata, dtype=np.uint8)
        rows = self.rows
        batch = self._advance(empty, None, None, None)
        self.rows = rows
        return batch

    def _check(self, labels: Any, confidence: Any, row_area_m2: Any, kept: Any) -> None:
        if self._finished:
            raise ValueError("rows after finish")
        if labels.dtype != np.uint8 or labels.ndim != 2 or labels.shape[1] != self.width:
            raise ValueError(
                f"labels must be (n, {self.width}) uint8, got {labels.shape} {labels.dtype}"
            )
        count = len(labels)
        for name, array, shape in (
            ("confidence", confidence, (count, self.width)),
            ("row_area_m2", row_area_m2, (count, *np.shape(row_area_m2)[1:2])),
            ("kept", kept, (count, self.width + 1)),
        ):
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} must be {shape}, got {array.shape}")
        given = confidence is not None, row_area_m2 is not None
        if (self._with_confidence, self._with_areas) not in ((None, None), given):
            raise ValueError("confidence and row_area_m2 come with all rows or with none")
        self._with_confidence, self._with_areas = given

    def _advance(
        self,
        labels: NDArray[np.uint8],
        confidence: NDArray[np.floating] | None,
        row_area_m2: NDArray[np.float64] | None,
        kept: NDArray[np.bool_] | None,
    ) -> PolygonBatch:
        """Rows of a chunk: join, close, and keep what is open."""
        if not len(labels):
            return self._nothing()
        runs = find_runs(labels)
        known = len(self._labels)  # open regions come first, then the new runs
        stack = np.concatenate([self._row[None], labels])
        ids = np.concatenate([self._region_of_pixel[None], runs.ids + np.int32(known)])
        total = known + len(runs.starts)
        all_labels = np.concatenate([self._labels, runs.labels])
        root = join(total, *self._touching(ids, all_labels))
        corner_ids, corners = region_corners(
            stack,
            ids,
            self._grid,
            first_row=self.rows,
            nodata=self._nodata,
            junctions=self._junctions,
            kept=kept,
        )
        sums = self._sums.before(sums_of_runs(runs, labels.shape, confidence, row_area_m2))
        sums = sums.grouped(root, total)
        held = labels[-1] != self._nodata
        open_roots = np.unique(root[ids[-1][held]])
        is_root = root == np.arange(total)
        closed = is_root & (all_labels != self._nodata)
        closed[open_roots] = False
        closed_roots = np.flatnonzero(closed)
        # an order that does not depend on the pieces that the rows come in: ids go by the first
        # pixel, those of open regions too
        by_last_row = np.argsort(self._last_rows(root, runs)[closed_roots], kind="stable")
        closed_roots = closed_roots[by_last_row]
        # numbers of regions: the closed ones from 0 up, the open ones below
        number = np.zeros(total, dtype=np.int64)
        number[closed_roots] = np.arange(len(closed_roots))
        number[open_roots] = -1 - np.arange(len(open_roots))
        region = number[root]
        polygons = self._close(region, corner_ids, corners, len(closed_roots))
        self._keep_open(region, corner_ids, corners, len(open_roots))

        self._labels = all_labels[open_roots]
        self._sums = sums.chosen(open_roots)
        self._region_of_pixel = np.where(held, -1 - region[ids[-1]], -1).astype(np.int32)
        self._row = labels[-1].copy()
        self.rows += len(labels)
        self.open_regions = len(open_roots)
        return self._batch(all_labels[closed_roots], polygons, sums.chosen(closed_roots))

    def _last_rows(self, root: NDArray[np.int64], runs: Runs) -> NDArray[np.int64]:
        """Last row of the regions, at the index of their roots."""
        known = len(self._labels)
        last_rows = np.full(len(root), self.rows - 1)
        last_rows[root[known:]] = self.rows + runs.starts // self.width  # the last one counts
        return last_rows

    def _touching(
        self, ids: NDArray[np.int32], labels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pairs of ids of one label, one above the other."""
        above, below, _ = stretches(ids)
        same = (labels[above] == labels[below]) & (labels[below] != self._nodata) & (above >= 0)
        return above[same], below[same]

    def _nothing(self) -> PolygonBatch:
        return PolygonBatch.empty(
            with_m2=bool(self._with_areas), with_confidence=bool(self._with_confidence)
        )

    def _close(
        self,
        region: NDArray[np.int64],
        corner_ids: NDArray[np.int64],
        corners: NDArray[np.int64],
        count: int,
    ) -> NDArray[Any]:
        of_corner = region[corner_ids]
        complete = of_corner >= 0
        parts, owners = [corners[complete]], [of_corner[complete]]
        for old, pieces in enumerate(self._corners):
            if region[old] >= 0:
                parts += pieces
                owners.append(np.full(sum(map(len, pieces)), region[old]))
        return polygons_of(
            np.concatenate(owners),
            np.concatenate(parts),
            self._grid,
            count=count,
            transform=self._transform,
        )

    def _keep_open(
        self,
        region: NDArray[np.int64],
        corner_ids: NDArray[np.int64],
        corners: NDArray[np.int64],
        count: int,
    ) -> None:
        kept: list[list[NDArray[np.int64]]] = [[] for _ in range(count)]
        for old, pieces in enumerate(self._corners):
            if region[old] < 0:
                kept[-1 - region[old]] += pieces
        of_corner = region[corner_ids]
        waiting = of_corner < 0
        slots, corners = -1 - of_corner[waiting], corners[waiting]
        order = np.argsort(slots, kind="stable")
        slots, corners = slots[order], corners[order]
        for slot, piece in zip(
            np.unique(slots),
            np.split(corners, np.flatnonzero(np.diff(slots)) + 1),
            strict=bool(len(slots)),
        ):
            kept[slot].append(piece.copy())  # a view would hold the whole chunk in memory
        for pieces in kept:
            if len(pieces) > 32:
                pieces[:] = [np.concatenate(pieces)]
        self._corners = kept

    def _batch(
        self, labels: NDArray[np.uint8], polygons: NDArray[Any], sums: RegionSums
    ) -> PolygonBatch:
        return PolygonBatch(
            labels,
            polygons,
            np.rint(sums.pixels).astype(np.int64),
            sums.square_metres if self._with_areas else None,
            sums.confidence / sums.pixels if self._with_confidence else None,
        )
