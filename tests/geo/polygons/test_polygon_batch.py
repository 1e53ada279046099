from __future__ import annotations

import numpy as np
import shapely

from mmrs.geo.polygons.polygon_batch import ClassPolygon, PolygonBatch, joined


def batch(first: int, count: int) -> PolygonBatch:
    boxes = np.array([shapely.box(i, 0, i + 1, 2) for i in range(first, first + count)])
    ids = np.arange(first, first + count)
    return PolygonBatch(ids.astype(np.uint8), boxes, ids * 2, ids * 0.5, ids * 0.1)


def test_a_batch_gives_its_polygons_one_by_one() -> None:
    [only] = batch(3, 1)
    assert only == ClassPolygon(3, shapely.box(3, 0, 4, 2), 6, 1.5, 3 * 0.1)


def test_joined_batches_are_one_behind_the_other() -> None:
    parts = [batch(0, 2), PolygonBatch.empty(with_m2=True, with_confidence=True), batch(2, 3)]
    assert list(joined(parts)) == list(batch(0, 5))


def test_what_is_not_known_stays_so() -> None:
    parts = [PolygonBatch.empty(), PolygonBatch.empty()]
    assert joined(parts).area_m2 is None and joined(parts).confidence is None
