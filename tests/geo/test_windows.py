from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrs.geo.windows import Window, max_overlap, plan_starts, plan_windows


@st.composite
def window_and_stride(draw: st.DrawFn) -> tuple[int, int]:
    window = draw(st.integers(1, 40))
    return window, draw(st.integers(1, window))


def fewest_by_search(length: int, window: int, stride: int) -> int:
    """Smallest n such that n windows with steps of at most ``stride`` reach the end, by trying."""
    count = 1
    while window + (count - 1) * stride < length:
        count += 1
    return count


@given(st.integers(1, 200), window_and_stride())
def test_starts_cover_with_the_fewest_windows_and_end_flush(
    length: int, sizes: tuple[int, int]
) -> None:
    window, stride = sizes
    starts = plan_starts(length, window, stride)
    covered = np.zeros(length, dtype=int)
    for start in starts:
        covered[start : start + window] += 1
    assert covered.min() >= 1
    assert len(starts) == fewest_by_search(length, window, stride)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - window)
    assert all(0 < step <= stride for step in np.diff(starts))


@given(st.integers(1, 90), st.integers(1, 90), window_and_stride(), window_and_stride())
def test_windows_lie_inside_have_one_size_and_come_in_reading_order(
    height: int, width: int, rows: tuple[int, int], cols: tuple[int, int]
) -> None:
    plan = plan_windows(height, width, (rows[0], cols[0]), (rows[1], cols[1]))
    windows = list(plan)
    covered = np.zeros((height, width), dtype=int)
    for window in windows:
        covered[window.slices] += 1
        assert window.row + window.height <= height
        assert window.col + window.width <= width
        assert (window.height, window.width) == (min(rows[0], height), min(cols[0], width))
    assert covered.min() >= 1
    assert windows == sorted(windows)
    assert len(windows) == len(plan) == len(set(windows))


def test_a_plan_is_a_sequence() -> None:
    plan = plan_windows(10, 10, 4, 3)
    assert plan[0] == Window(0, 0, 4, 4)
    assert plan[-1] == Window(6, 6, 4, 4)
    assert plan[2:4] == [plan[2], plan[3]]
    with pytest.raises(IndexError, match="window index 9 of 9"):
        plan[9]


def test_a_scene_smaller_than_the_window_is_one_window_of_its_size() -> None:
    assert list(plan_windows(5, 3, 64, 32)) == [Window(0, 0, 5, 3)]


def test_a_plan_of_a_huge_scene_is_not_listed() -> None:
    plan = plan_windows(1_000_000, 1_000_000, 512, 256)
    # (1,000,000 - 512) / 256 = 3904.25: 3905 steps
    assert len(plan) == 3906**2
    assert plan[-1].row == 1_000_000 - 512


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 2), "length must be >= 1, got 0"),
        ((9, 0, 2), "window must be >= 1, got 0"),
        ((9, 4, 0), "stride must be >= 1, got 0"),
        ((9, 4, 5), r"stride must be <= window \(4\), got 5"),
    ],
)
def test_sizes_without_a_meaning_are_refused(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_starts(*arguments)


def test_max_overlap_is_that_of_the_flush_window() -> None:
    assert max_overlap((0, 3, 6), 4) == 1
    assert max_overlap((0, 3, 4), 4) == 3
    assert max_overlap((0,), 4) == 0
