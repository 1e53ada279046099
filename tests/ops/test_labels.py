"""Valid pixels, presence, and the seeded draw of a class."""

import numpy as np
import pytest
import torch

from mmrs.ops.labels import (
    check_logits_and_target,
    class_presence,
    draw_present_class,
    hashed_uniform,
    mask_ignored,
    valid_pixels,
)


def test_valid_are_the_labels_of_a_class_that_is_not_ignored():
    target = torch.tensor([[0, 1, 2, 3, 255, -1]])
    assert valid_pixels(target, 3, 255).tolist() == [[True, True, True, False, False, False]]
    assert valid_pixels(target, 3, 0).tolist() == [[False, True, True, False, False, False]]


def test_presence_lists_the_classes_that_occur():
    assert class_presence(torch.tensor([[2, 255], [0, 0]]), 4, 255).tolist() == [
        True,
        False,
        True,
        False,
    ]
    assert not class_presence(torch.full((3, 3), 255), 4, 255).any()


def test_the_draw_is_uniform_over_the_present_classes_only():
    target = torch.tensor([[[0, 3, 3, 3], [4, 255, 0, 3]]])
    draws = [
        draw_present_class(target, num_classes=6, ignore_index=255, seed=1, step=s).item()
        for s in range(3000)
    ]
    counts = np.bincount(draws, minlength=6)
    assert counts[[1, 2, 5]].sum() == 0
    # three classes: mean 1000, standard deviation 26
    assert np.abs(counts[[0, 3, 4]] - 1000).max() < 5 * 26


def test_the_draw_repeats_for_the_same_seed_and_step_and_changes_with_either():
    target = torch.arange(8).reshape(1, 2, 4)

    def draws(seed):
        return [
            int(draw_present_class(target, num_classes=8, ignore_index=255, seed=seed, step=s))
            for s in range(50)
        ]

    assert draws(0) == draws(0)
    assert draws(0) != draws(1)
    assert len(set(draws(0))) == 8


def test_an_int_step_and_a_tensor_step_draw_the_same():
    for step in (0, 1, 123456):
        a = hashed_uniform(5, seed=3, step=step)
        b = hashed_uniform(5, seed=3, step=torch.tensor(step))
        assert torch.equal(a, b)


@pytest.mark.parametrize("seed", [0, 2**31, 2**63 + 11, -5])
def test_hashed_numbers_are_uniform_for_any_seed(seed):
    x = torch.cat([hashed_uniform(100, seed=seed, step=s) for s in range(200)])
    assert 0 <= x.min() and x.max() < 1
    # 20 bins of 1000: chi-square with 19 degrees of freedom exceeds 50 once in 10,000
    counts = torch.histc(x, 20, 0, 1)
    assert ((counts - 1000) ** 2 / 1000).sum() < 50


def test_ignored_logits_become_zero_and_valid_ones_stay():
    logits = torch.tensor([float("inf"), 1.0, float("nan")]).reshape(1, 1, 1, 3).half()
    valid = torch.tensor([[[False, True, False]]])
    out = mask_ignored(logits, valid)
    assert out.dtype == torch.float32
    assert out.flatten().tolist() == [0, 1, 0]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="target must be"):
        check_logits_and_target(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"must be \(B, K, H, W\)"):
        check_logits_and_target(torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.long))
    with pytest.raises(TypeError, match="integer class ids"):
        check_logits_and_target(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4))
