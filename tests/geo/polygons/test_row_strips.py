from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.polygons.row_strips import Rows, RowStrips, cut, stacked


def rows(count: int, first: int = 0) -> Rows:
    index = np.arange(first, first + count)
    labels = np.repeat(index.astype(np.uint8)[:, None], 3, axis=1)
    return Rows(labels, labels / np.float32(7), index * 0.5)


@pytest.mark.parametrize("heights", [(1,), (2, 5), (11,), (4,)])
def test_strips_are_full_and_hold_the_rows_in_their_order(heights) -> None:
    strips, found, row = RowStrips(4), [], 0
    for turn in range(100):
        count = min(heights[turn % len(heights)], 11 - row)
        found += strips.push(rows(count, row))
        row += count
    assert [len(strip.labels) for strip in found] == [4, 4]
    found.append(strips.finish())
    for values, expected in zip(stacked(found), rows(11), strict=True):
        np.testing.assert_array_equal(values, expected)
    assert strips.finish() is None


def test_what_is_cut_off_does_not_hold_the_rest() -> None:
    first, others = cut(rows(5), 2)
    assert first.labels.base is None and others.confidence.base is None
    np.testing.assert_array_equal(others.pixel_m2, [1.0, 1.5, 2.0])


def test_what_is_missing_stays_missing() -> None:
    plain = Rows(np.zeros((2, 3), dtype=np.uint8))
    assert stacked([plain, plain])[1:] == (None, None)
    assert cut(plain, 1)[1][1:] == (None, None)


def test_a_strip_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="strip_rows must be >= 1, got 0"):
        RowStrips(0)
