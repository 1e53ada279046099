"""Dice + focal: by hand, against a loop in float64, against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.segmentation import dice_score

from mmrs.errors import ConfigError
from mmrs.models.losses import DiceFocalLoss
from mmrs.models.losses.dice_focal_loss import softmax_dice_loss, softmax_focal_loss
from tests import oracles
from tests.models.losses.cases import random_case

STANDARD, LITERAL = torch.tensor(0.25), torch.tensor(2.0)


def logits_of(probability):
    return torch.as_tensor(probability, dtype=torch.float64).log()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"alpha": 0.25, "gamma": 2.0}),
        ({"focal": "literal"}, {"alpha": 2.0, "gamma": 0.25}),
        ({"focal": "literal", "gamma": 3.0}, {"alpha": 2.0, "gamma": 3.0}),
        ({"alpha": (0.1, 0.2, 0.3, 0.4)}, {"alpha": [0.1, 0.2, 0.3, 0.4]}),
        ({"gamma": 0.0, "focal_weight": 0.3}, {"gamma": 0.0, "focal_weight": 0.3}),
        ({"smooth": 2.0}, {"smooth": 2.0}),
        ({"classes": "present"}, {"present_only": True}),
    ],
)
def test_equals_the_pixel_loop(seed, options, expected):
    logits, target = random_case(seed)
    if seed == 1:
        target[target == 2] = 1  # a class is absent
    found = DiceFocalLoss(**options)(logits.double(), target).item()
    assert found == pytest.approx(
        oracles.dice_focal(logits.numpy(), target.numpy(), **expected), rel=1e-6
    )
    single = DiceFocalLoss(**options)(logits, target).item()
    assert single == pytest.approx(found, rel=2e-6)


def test_weights_enter_every_sum():
    logits, target = random_case(3)
    weight = torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    expected = oracles.dice_focal(logits.numpy(), target.numpy(), weight=weight.numpy())
    found = DiceFocalLoss()(logits.double(), target, weight=weight.double())
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_by_hand_two_classes_four_pixels():
    # three pixels of class 0, one of class 1, p = 0.5 everywhere, S = 1:
    # dice 0 = (2 * 1.5 + 1) / (3 + 2 + 1) = 2/3; dice 1 = (2 * 0.5 + 1) / (1 + 2 + 1) = 1/2
    # 1 - mean = 5/12; focal = 0.25 * 0.5^2 * ln 2
    target = torch.tensor([[[0, 0], [0, 1]]])
    logits = torch.zeros(1, 2, 2, 2)
    assert softmax_dice_loss(logits, target, smooth=1.0).item() == pytest.approx(5 / 12)
    assert DiceFocalLoss(smooth=1.0)(logits, target).item() == pytest.approx(
        5 / 12 + 0.9 * 0.25 * 0.25 * math.log(2)
    )


def test_focal_by_hand_one_pixel_three_classes():
    # p of the class is 0.2: -0.25 * 0.8^2 ln 0.2, and with the printed values -2 * 0.8^0.25 ln 0.2
    logits = logits_of([0.5, 0.2, 0.3]).reshape(1, 3, 1, 1)
    target = torch.tensor([[[1]]])
    standard = softmax_focal_loss(logits, target, alpha=STANDARD, gamma=2.0)
    literal = softmax_focal_loss(logits, target, alpha=LITERAL, gamma=0.25)
    assert standard.item() == pytest.approx(-0.25 * 0.64 * math.log(0.2))
    assert literal.item() == pytest.approx(-2 * 0.8**0.25 * math.log(0.2))


def test_focal_without_gamma_is_cross_entropy_and_with_it_spares_the_easy():
    logits, target = random_case(2)
    one = torch.tensor(1.0)
    plain = softmax_focal_loss(logits, target, alpha=one, gamma=0.0)
    entropy = torch.nn.functional.cross_entropy(logits, target, ignore_index=255, reduction="none")
    torch.testing.assert_close(plain, entropy)
    p = torch.exp(-entropy)[target != 255]
    share = (softmax_focal_loss(logits, target, alpha=one, gamma=2.0) / plain)[target != 255]
    torch.testing.assert_close(share, (1 - p) ** 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_dice_of_a_certain_prediction_is_torchmetrics(seed):
    generator = torch.Generator().manual_seed(seed)
    predicted = torch.randint(0, 4, (2, 8, 9), generator=generator)
    target = torch.randint(0, 4, (2, 8, 9), generator=generator)
    logits = 200.0 * torch.nn.functional.one_hot(predicted, 4).permute(0, 3, 1, 2)
    # one picture that holds both: our sums run over the batch
    theirs = dice_score(
        predicted.reshape(1, -1, 9),
        target.reshape(1, -1, 9),
        num_classes=4,
        average="macro",
        input_format="index",
    )
    found = softmax_dice_loss(logits, target)
    assert found.item() == pytest.approx(1 - theirs.item(), abs=1e-5)


def test_an_absent_class_scores_1_where_predicted_and_0_where_not_and_can_be_left_out():
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    certain = torch.zeros(1, 3, 4, 4)
    certain[:, 0] = 1000.0
    # all of class 0, rightly: three classes score a perfect 1
    assert softmax_dice_loss(certain, target).item() == pytest.approx(0, abs=1e-6)
    # p = 1/3 everywhere: class 0 has 2 (16/3) / (16 + 16/3) = 1/2, the absent two nothing
    level = torch.zeros(1, 3, 4, 4)
    assert softmax_dice_loss(level, target).item() == pytest.approx((0.5 + 1 + 1) / 3, rel=1e-4)
    assert softmax_dice_loss(level, target, classes="present").item() == pytest.approx(0.5)


def test_gradient_of_a_certain_pixel_is_finite_with_the_printed_gamma():
    logits = torch.tensor([30.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    DiceFocalLoss(focal="literal")(logits, torch.zeros(1, 1, 1, dtype=torch.long)).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() < 1e-4


def test_gradient_is_that_of_finite_differences_of_the_loop():
    logits, target = random_case(4, size=(3, 4))
    z = logits.double().requires_grad_()
    DiceFocalLoss()(z, target).backward()
    for index in np.ndindex(1, 4, 2, 2):
        step = np.zeros(logits.shape)
        step[index] = 1e-5
        up, down = (
            oracles.dice_focal(logits.numpy() + sign * step, target.numpy()) for sign in (1, -1)
        )
        assert z.grad[index].item() == pytest.approx((up - down) / 2e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"focal": "swapped"}, "focal must be 'standard' or 'literal', got 'swapped'"),
        ({"classes": "none"}, "classes must be 'all' or 'present', got 'none'"),
        ({"gamma": -1.0}, "gamma must be >= 0, got -1.0"),
        ({"smooth": 0.0}, "smooth must be > 0, got 0.0"),
        ({"focal_weight": -0.1}, "focal_weight must be >= 0, got -0.1"),
        ({"alpha": (0.5, -1.0)}, r"alpha must be >= 0, got \(0.5, -1.0\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DiceFocalLoss(**options)


def test_alpha_needs_one_number_a_class():
    logits, target = random_case()
    with pytest.raises(ConfigError, match="alpha: 3 numbers for 4 classes"):
        DiceFocalLoss(alpha=(1.0, 1.0, 1.0))(logits, target)


def test_avg_factor_divides_the_focal_term_alone():
    logits, target = random_case()
    count = int((target != 255).sum())
    plain, dice = DiceFocalLoss()(logits, target), DiceFocalLoss(focal_weight=0.0)(logits, target)
    ten = DiceFocalLoss()(logits, target, avg_factor=10.0)
    torch.testing.assert_close(ten, dice + (plain - dice) * count / 10)
