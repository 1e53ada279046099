"""Generalised Dice against a loop and by hand."""

import numpy as np
import pytest
import torch

from mmrs.models.losses import GeneralizedDiceLoss
from tests import oracles
from tests.models.losses.cases import random_case


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_pixel_loop(seed):
    logits, target = random_case(seed, classes=3 + seed % 3)
    expected = oracles.generalized_dice(logits.numpy(), target.numpy())
    assert GeneralizedDiceLoss()(logits, target).item() == pytest.approx(expected, abs=1e-6)


def test_weights_enter_every_sum():
    logits, target = random_case(3)
    weight = torch.rand(target.shape)
    expected = oracles.generalized_dice(logits.numpy(), target.numpy(), weight=weight.numpy())
    assert GeneralizedDiceLoss()(logits, target, weight=weight).item() == pytest.approx(
        expected, abs=1e-6
    )


def test_by_hand_two_classes_four_pixels():
    # three pixels of class 0, one of class 1, P = 0.5 everywhere:
    # w = 1/9, 1; overlap = 1.5, 0.5; total = 3 + 2, 1 + 2
    # 1 - 2 (1.5/9 + 0.5) / (5/9 + 3) = 1 - (4/3) / (32/9) = 0.625
    target = torch.tensor([[[0, 0], [0, 1]]])
    assert GeneralizedDiceLoss()(torch.zeros(1, 2, 2, 2), target).item() == pytest.approx(0.625)


def test_per_image_is_the_mean_over_images_with_a_valid_pixel():
    logits, target = random_case(5)
    logits, target = torch.cat([logits, logits[:1]]), torch.cat([target, target[:1] * 0 + 255])
    each = [
        oracles.generalized_dice(logits[i : i + 1].numpy(), target[i : i + 1].numpy())
        for i in range(2)
    ]
    value = GeneralizedDiceLoss(sums_over="image")(logits, target).item()
    assert value == pytest.approx(np.mean(each), abs=1e-6)
    assert value != pytest.approx(GeneralizedDiceLoss()(logits, target).item(), abs=1e-4)


def test_a_rare_class_counts_as_much_as_a_frequent_one_would():
    # the same error rate costs more on the rare class than plain (1 / volume^0) Dice has it
    target = torch.zeros(1, 20, 20, dtype=torch.long)
    target[0, 0, :4] = 1
    logits = torch.zeros(1, 2, 20, 20)
    logits[:, 0] = 10  # everything called class 0: 99 % of the pixels are right
    assert GeneralizedDiceLoss()(logits, target).item() > 0.95


def test_an_unknown_option_is_refused():
    with pytest.raises(ValueError, match="sums_over must be 'batch' or 'image', got 'pixel'"):
        GeneralizedDiceLoss(sums_over="pixel")
