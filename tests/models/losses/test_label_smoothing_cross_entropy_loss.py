"""Label-smoothing cross-entropy against a loop."""

import pytest
import torch
import torch.nn.functional as F

from mmrs.models.losses import LabelSmoothingCrossEntropyLoss
from tests import oracles
from tests.models.losses.cases import random_case


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_pixel_loop(smoothing, seed):
    logits, target = random_case(seed, classes=3 + seed)
    expected = oracles.label_smoothing_cross_entropy(logits.numpy(), target.numpy(), smoothing)
    value = LabelSmoothingCrossEntropyLoss(smoothing=smoothing)(logits, target)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_without_smoothing_it_is_cross_entropy():
    logits, target = random_case()
    value = LabelSmoothingCrossEntropyLoss(smoothing=0.0)(logits, target)
    torch.testing.assert_close(value, F.cross_entropy(logits, target, ignore_index=255))


def test_class_weights_are_those_of_cross_entropy():
    logits, target = random_case()
    weight = [0.2, 1.0, 3.0, 0.5]
    value = LabelSmoothingCrossEntropyLoss(smoothing=0.0, class_weight=weight)(logits, target)
    expected = F.cross_entropy(logits, target, weight=torch.tensor(weight), ignore_index=255)
    torch.testing.assert_close(value, expected)


def test_avg_factor_replaces_the_number_of_valid_pixels():
    logits, target = random_case()
    loss = LabelSmoothingCrossEntropyLoss()
    count = (target != 255).sum().item()
    torch.testing.assert_close(
        loss(logits, target, avg_factor=10.0), loss(logits, target) * count / 10
    )


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match=r"smoothing must be in \[0, 1\), got 1"):
        LabelSmoothingCrossEntropyLoss(smoothing=1)
    with pytest.raises(ValueError, match="at least two classes"):
        LabelSmoothingCrossEntropyLoss()(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2).long())
    with pytest.raises(ValueError, match="one entry a class, got 2 for 4 classes"):
        LabelSmoothingCrossEntropyLoss(class_weight=[1, 2])(*random_case())
