from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrs.geo.tiles import even_starts, even_tiles
from mmrs.geo.windows import Window


def test_the_papers_plan_is_169_tiles_at_a_stride_of_457_33() -> None:
    plan = even_tiles(6000, 6000, 512, 13)
    assert len(plan) == 169
    assert 38 * len(plan) == 6422
    assert plan[0] == Window(0, 0, 512, 512)
    assert plan[-1] == Window(5488, 5488, 512, 512)
    # 457.33 i, rounded
    assert plan.row_starts == plan.col_starts
    assert plan.row_starts[:7] == (0, 457, 915, 1372, 1829, 2287, 2744)
    assert {b - a for a, b in zip(plan.row_starts, plan.row_starts[1:], strict=False)} == {457, 458}


@st.composite
def length_tile_count(draw: st.DrawFn) -> tuple[int, int, int]:
    tile = draw(st.integers(1, 30))
    length = tile + draw(st.integers(0, 120))
    return length, tile, draw(st.integers(-(-length // tile), length - tile + 1))


@given(length_tile_count())
def test_starts_are_the_nearest_pixels_to_even_steps_and_leave_no_gap(
    sizes: tuple[int, int, int],
) -> None:
    length, tile, count = sizes
    starts = even_starts(length, tile, count)
    assert len(set(starts)) == count
    assert (starts[0], starts[-1]) == (0, length - tile)
    covered = np.zeros(length, dtype=int)
    for index, start in enumerate(starts):
        covered[start : start + tile] += 1
        exact = Fraction(index * (length - tile), max(count - 1, 1))
        assert abs(start - exact) <= Fraction(1, 2)
    assert covered.min() >= 1
    assert np.ptp(np.diff(starts)) <= 1 if count > 1 else True


def test_rows_and_columns_have_their_own_strides() -> None:
    plan = even_tiles(10, 7, 4, 3)
    assert (plan.row_starts, plan.col_starts) == ((0, 3, 6), (0, 2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((9, 0, 2), "tile must be >= 1, got 0"),
        ((9, 4, 0), "count must be >= 1, got 0"),
        ((3, 4, 1), r"length must be >= tile \(4\), got 3"),
        ((9, 4, 2), "count must be >= 3 for tiles of 4 to cover 9, got 2"),
        ((9, 8, 3), "count must be <= 2 for no tile of 8 in 9 to come twice, got 3"),
    ],
)
def test_plans_that_leave_a_gap_or_repeat_are_refused(
    arguments: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        even_starts(*arguments)
