"""manhattan_distance: exact on both paths, defined where every library is not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mmrs.ops.distance import distance_by_doubling, manhattan_distance
from tests import oracles

PATHS = [manhattan_distance, distance_by_doubling]


@pytest.mark.parametrize("transform", PATHS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equals_the_scipy_taxicab_transform(transform, data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=40))
    # sparse foreground, so that distances grow long
    density = data.draw(st.sampled_from([0.5, 0.05, 0.005]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    mask = np.random.default_rng(seed).random(shape) < density
    np.testing.assert_array_equal(
        transform(torch.from_numpy(mask)).numpy(), oracles.manhattan(mask)
    )


@pytest.mark.parametrize("transform", PATHS)
@settings(max_examples=60, deadline=None)
@given(mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_equals_the_scipy_transform_on_shrinkable_masks(transform, mask):
    np.testing.assert_array_equal(
        transform(torch.from_numpy(mask)).numpy(), oracles.manhattan(mask)
    )


@pytest.mark.parametrize("transform", PATHS)
def test_every_leading_axis_is_a_batch(transform):
    mask = torch.rand(2, 3, 17, 23) > 0.97
    out = transform(mask)
    assert out.shape == mask.shape and out.dtype == torch.float32
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(out[i, j], transform(mask[i, j]), rtol=0, atol=0)


@pytest.mark.parametrize("transform", PATHS)
def test_no_foreground_is_infinitely_far_and_all_foreground_is_zero(transform):
    mask = torch.zeros(3, 9, 5, dtype=torch.bool)
    mask[1] = True
    mask[2, 4, 2] = True
    out = transform(mask)
    assert out[0].isposinf().all()
    assert (out[1] == 0).all()
    assert out[2, 0, 0] == 6


def test_the_input_is_not_written_to():
    mask = torch.rand(4, 16, 16) > 0.9
    before = mask.clone()
    manhattan_distance(mask)
    distance_by_doubling(mask)
    assert torch.equal(mask, before)


def test_non_contiguous_masks_and_more_threads_than_planes_agree():
    mask = (torch.rand(16, 24, 2) > 0.95).permute(2, 1, 0)
    expected = np.stack([oracles.manhattan(plane.numpy()) for plane in mask])
    np.testing.assert_array_equal(manhattan_distance(mask).numpy(), expected)


def test_an_empty_batch_gives_an_empty_batch():
    assert manhattan_distance(torch.zeros(0, 8, 8, dtype=torch.bool)).shape == (0, 8, 8)


def test_a_mask_that_is_not_bool_is_refused():
    with pytest.raises(TypeError, match=r"mask must be bool, got torch\.uint8"):
        manhattan_distance(torch.zeros(4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(H, W\), got shape \(4,\)"):
        manhattan_distance(torch.zeros(4, dtype=torch.bool))


def test_it_works_in_a_forked_worker_after_use_in_the_parent():
    mask = torch.rand(8, 32, 32) > 0.95
    expected = manhattan_distance(mask)
    context = torch.multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        result = pool.apply_async(_transform_numpy, (mask.numpy(),)).get(timeout=60)
    np.testing.assert_array_equal(result, expected.numpy())


def _transform_numpy(mask: np.ndarray) -> np.ndarray:
    return manhattan_distance(torch.from_numpy(mask)).numpy()
