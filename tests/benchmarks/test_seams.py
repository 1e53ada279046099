"""Seams are counted as one counts them by hand, and found where they were put."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.seams import (
    WAYS,
    Ground,
    count_changes,
    intervals,
    measure,
    ratios_of,
    window_lines,
)
from mmrs.apis import SceneSegmentor
from tests.apis.test_predict import ColourModel


class EdgeModel(ColourModel):
    """Bands of the image, but for a rim of a window, where the first class always wins."""

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        scores = super().__call__(windows).copy()
        scores[:, :, :2] = scores[:, :, :, :2] = 0.01
        scores[:, 0, :2] = scores[:, 0, :, :2] = 0.98
        return scores


def by_hand(labels, rows, cols, skip, offset, block, cell):
    total: dict = {}
    height, width = labels.shape
    for row in range(height):
        for col in range(width):
            key = ((row + offset) // block, (col + offset) // block)
            for other, on, left_out, on_grid in (
                ((row - 1, col), row in rows, row in skip[0], row % cell == 0),
                ((row, col - 1), col in cols, col in skip[1], col % cell == 0),
            ):
                if min(other) < 0 or 255 in (labels[row, col], labels[other]) or left_out:
                    continue
                counts = total.setdefault(key, np.zeros((3, 2), int))
                changed = labels[row, col] != labels[other]
                for group, is_in in enumerate((on, not on and on_grid, not on)):
                    counts[group] += (is_in and changed, is_in)
    return total


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    window=st.integers(1, 8),
    offset=st.integers(0, 9),
    block=st.integers(1, 9),
    cell=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_counts_are_those_of_a_loop(size, window, offset, block, cell, seed) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 0, 1, 2, 255], np.uint8), size)
    lines = [window_lines(length, window, max(1, window // 2)).tolist() for length in size]
    skip = tuple([at for at in (4, 9) if at < length] for length in size)
    where = {"skip": skip, "offset": offset, "block": block, "cell": cell}
    found = count_changes(labels, *lines, **where)
    expected = by_hand(labels, *lines, **where)
    for key, value in found.items():
        np.testing.assert_array_equal(value, expected.get(key, np.zeros((3, 2))))
    assert expected.keys() <= found.keys()


def test_lines_are_where_windows_begin_and_end() -> None:
    np.testing.assert_array_equal(window_lines(20, 8, 8), [8, 12, 16])  # the last is flush
    np.testing.assert_array_equal(window_lines(16, 8, 4), [4, 8, 12])
    assert len(window_lines(7, 8, 8)) == 0


def test_windows_side_by_side_show_seams_and_blended_ones_none() -> None:
    rng = np.random.default_rng(0)
    # fields of sides that have nothing to do with those of the windows
    rows, cols = (np.repeat(np.arange(60), rng.integers(3, 12, 60))[:240] for _ in range(2))
    ground = Ground(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)[rows][:, cols])
    segmentor = SceneSegmentor(EdgeModel())
    how = {"window": 16, "shifts": 8, "block": 48, "cell": 1}
    ratios, spans = {}, {}
    for way in WAYS:
        counts, labels = measure(segmentor, ground, way, **how)
        assert labels.shape == (240, 240)
        ratios[way.blend, way.stride_ratio] = ratios_of(counts)
        spans[way.blend, way.stride_ratio] = intervals(counts)
    np.testing.assert_allclose(ratios["cosine", 0.5], 1, atol=0.1)
    assert (spans["cosine", 0.5][:, 0] < ratios["cosine", 0.5]).all()
    assert (spans["flat", 1.0][:, 0] > 1.4).all()


def test_a_networks_own_grid_is_told_from_seams() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[8:16] = labels[24:32] = labels[40:48] = labels[56:] = 1  # changes every 8 rows
    (counts,) = count_changes(labels, [32], [32], block=64, cell=8).values()
    to_grid, to_all = ratios_of(counts[None])
    assert to_grid == pytest.approx(1)
    assert to_all == pytest.approx(62 / 6)
