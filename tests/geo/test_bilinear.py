"""resize_bilinear: PyTorch's interpolation as the oracle, and what rounding must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mmrs.geo.bilinear import resize_bilinear

SIDES = st.integers(1, 12)


@settings(max_examples=50, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 13))
def test_it_is_pytorchs_interpolation(height, width, new_height, new_width, bands) -> None:
    values = np.random.default_rng(height * 13 + width).random((2, height, width, bands))
    found = resize_bilinear(values, new_height, new_width, axes=(1, 2))
    channels_first = torch.from_numpy(values).permute(0, 3, 1, 2)
    expected = functional.interpolate(
        channels_first, size=(new_height, new_width), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.float32, np.float64])
def test_type_and_range_are_kept(dtype) -> None:
    if np.issubdtype(dtype, np.integer):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    else:
        low, high = -1e6, 1e6
    values = np.array([[low, high], [high, low]], dtype=dtype)
    resized = resize_bilinear(values, 7, 5)
    assert resized.dtype == dtype
    assert (resized[0, 0], resized[0, -1]) == (low, high)
    assert resized.min() == low and resized.max() == high


def test_whole_numbers_are_rounded_not_cut() -> None:
    # a quarter and three quarters of the way from 0 to 7
    np.testing.assert_array_equal(
        resize_bilinear(np.array([[0, 7]], dtype=np.uint16), 1, 4), [[0, 2, 5, 7]]
    )


def test_the_array_itself_is_left_alone_and_never_handed_out() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    same = resize_bilinear(values, 2, 3)
    same += 1
    resize_bilinear(values, 4, 4)
    np.testing.assert_array_equal(values, np.arange(6).reshape(2, 3))


def test_a_length_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="height and width must be >= 1, got 0 and 3"):
        resize_bilinear(np.zeros((2, 2)), 0, 3)
