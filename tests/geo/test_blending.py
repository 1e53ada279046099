from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.geo.blending import BandAccumulator, best_class, blend_profile, blend_weights
from mmrs.geo.windows import plan_windows

KINDS = ["cosine", "gaussian", "flat"]


@pytest.mark.parametrize("kind", KINDS)
@given(length=st.integers(1, 700))
def test_profiles_are_symmetric_positive_and_peak_in_the_middle(kind: str, length: int) -> None:
    profile = blend_profile(length, kind)
    assert profile.dtype == np.float32
    np.testing.assert_allclose(profile, profile[::-1], rtol=1e-5)
    assert 0 < profile.min() <= profile.max() <= 1
    rising = np.diff(profile[: (length + 1) // 2])
    assert (rising >= 0).all()
    if kind != "flat":
        assert (rising > 0).all()


def test_profiles_have_their_closed_forms() -> None:
    # sin^2 at pixel centres 1/8, 3/8, ...; exp(-x^2 / 2) at (centre - 1/2) * 8
    np.testing.assert_allclose(blend_profile(4), [0.146447, 0.853553, 0.853553, 0.146447], 1e-5)
    np.testing.assert_allclose(blend_profile(2, "gaussian"), np.exp([-2, -2]), 1e-6)
    np.testing.assert_allclose(blend_weights(2, 3), 0.5 * np.tile([0.25, 1, 0.25], (2, 1)), 1e-5)


def test_wrong_blends_are_refused() -> None:
    with pytest.raises(ValueError, match=r"blend must be .* got 'cubic'"):
        blend_profile(4, "cubic")
    with pytest.raises(ValueError, match="length must be >= 1, got 0"):
        blend_profile(0)
    with pytest.raises(ValueError, match="num_classes must be >= 1, got 0"):
        BandAccumulator(plan_windows(4, 4, 2, 2), 0)


def blend_in_memory(plan, scores, kind: str) -> np.ndarray:
    """Whole-scene sums in float64, pixel by pixel: what the rolling band must equal."""
    total = np.zeros((len(scores[0]), plan.height, plan.width))
    weights = np.zeros((plan.height, plan.width))
    bump = np.outer(
        blend_profile(plan.window_height, kind).astype(np.float64),
        blend_profile(plan.window_width, kind).astype(np.float64),
    )
    for window, score in zip(plan, scores, strict=True):
        total[:, *window.slices] += score * bump
        weights[window.slices] += bump
    return total / weights


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 30),
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
    st.sampled_from(KINDS),
    st.integers(0, 2**31),
)
def test_the_rolling_band_equals_blending_in_memory(
    height: int,
    width: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    kind: str,
    seed: int,
) -> None:
    stride = (min(stride[0], window[0]), min(stride[1], window[1]))
    plan = plan_windows(height, width, window, stride)
    rng = np.random.default_rng(seed)
    shape = (3, plan.window_height, plan.window_width)
    scores = [rng.random(shape, dtype=np.float32) for _ in plan]
    band, rows = BandAccumulator(plan, 3, kind), []
    for where, score in zip(plan, scores, strict=True):
        rows += band.pop_until(where.row)
        band.add(where, score)
    rows += band.pop_until(height)
    np.testing.assert_allclose(
        np.concatenate(rows, axis=1), blend_in_memory(plan, scores, kind), rtol=1e-4, atol=1e-6
    )


def test_windows_left_out_leave_zeros_and_change_nothing_else() -> None:
    plan = plan_windows(40, 8, 8, 8)
    band = BandAccumulator(plan, 2)
    band.add(plan[0], np.ones((2, 8, 8), dtype=np.float32))
    pieces = list(band.pop_until(32))
    band.add(plan[4], np.full((2, 8, 8), 0.5, dtype=np.float32))
    rows = np.concatenate([*pieces, *band.pop_until(40)], axis=1)
    np.testing.assert_allclose(rows[:, :8], 1, rtol=1e-6)
    assert (rows[:, 8:32] == 0).all()
    np.testing.assert_allclose(rows[:, 32:], 0.5, rtol=1e-6)


def test_the_band_holds_no_more_rows_than_a_window() -> None:
    plan = plan_windows(1_000_000, 64, 16, 8)
    band = BandAccumulator(plan, 5)
    assert band._ring.nbytes == 5 * 16 * 64 * 4


def test_pieces_are_arrays_of_their_own() -> None:
    plan = plan_windows(24, 8, 8, 8)
    band = BandAccumulator(plan, 2)
    pieces = []
    for window in plan[:2]:
        pieces += band.pop_until(window.row)
        band.add(window, np.full((2, 8, 8), 1 + window.row, dtype=np.float32))
    pieces += band.pop_until(24)  # the last line was left out
    rows = np.concatenate(pieces, axis=1)
    np.testing.assert_allclose(rows[0, :, 0], [1] * 8 + [9] * 8 + [0] * 8, rtol=1e-6)
    for piece in pieces:
        piece += 1
    assert not band._ring.any()


def test_disorder_and_wrong_shapes_are_refused() -> None:
    plan = plan_windows(12, 4, 4, 2)
    band = BandAccumulator(plan, 2)
    with pytest.raises(ValueError, match=r"scores must be of shape \(2, 4, 4\), got \(3, 4, 4\)"):
        band.add(plan[0], np.zeros((3, 4, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="window starts at row 2, but the band at 0"):
        band.add(plan[1], np.zeros((2, 4, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="cannot pop rows 0 to 13 of 12"):
        list(band.pop_until(13))


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_best_class_is_argmax(num_classes: int, seed: int) -> None:
    # few distinct values, so that ties occur: the first of equals wins in both
    scores = np.random.default_rng(seed).integers(0, 4, (num_classes, 6, 5)).astype(np.float32)
    found = best_class(scores)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, scores.argmax(axis=0))
