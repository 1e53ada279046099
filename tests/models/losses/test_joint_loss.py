"""The weighted sum: the paper's numbers, and random weights."""

import pytest
import torch

from mmrs.models.losses import (
    ClassAgnosticEdgeAwareLoss,
    GeneralizedDiceLoss,
    JointLoss,
    LabelSmoothingCrossEntropyLoss,
)
from tests.models.losses.cases import random_case


def test_the_default_weights_are_the_papers():
    assert JointLoss().weights.tolist() == pytest.approx([0.3923, 0.3923, 0.2153], abs=1e-4)


def test_the_sum_is_that_of_the_three_losses():
    logits, target = random_case()
    parts = [
        GeneralizedDiceLoss()(logits, target),
        LabelSmoothingCrossEntropyLoss()(logits, target),
        ClassAgnosticEdgeAwareLoss()(logits, target),
    ]
    expected = 0.39231 * parts[0] + 0.39231 * parts[1] + 0.21538 * parts[2]
    torch.testing.assert_close(JointLoss()(logits, target), expected, rtol=1e-4, atol=1e-6)
    fixed = JointLoss(weighting="fixed", weights=(1, 1, 0.4))(logits, target)
    torch.testing.assert_close(fixed, parts[0] + parts[1] + 0.4 * parts[2])


def test_terms_sum_to_the_loss_under_one_draw():
    logits, target = random_case()
    loss = JointLoss(weighting="random", loss_weight=3.0)
    draw = loss.draw(target, 4)
    terms = loss.terms(logits, target, **draw)
    assert list(terms) == ["loss_gd", "loss_lsce", "loss_cea"]
    torch.testing.assert_close(sum(terms.values()), loss(logits, target, **draw))


def test_random_weights_are_normalised_change_every_step_and_favour_none():
    loss = JointLoss(weighting="random", seed=2)
    _, target = random_case()
    drawn = torch.stack([loss.draw(target, 4)["term_weights"] for _ in range(2000)])
    torch.testing.assert_close(drawn.sum(1), torch.ones(2000))
    assert len(drawn.unique(dim=0)) == 2000
    # softmax of three normals: mean 1/3; its standard deviation is below 0.25
    assert (drawn.mean(0) - 1 / 3).abs().max() < 5 * 0.25 / 2000**0.5


def test_gradients_reach_the_logits_from_every_term():
    logits, target = random_case()
    logits.requires_grad_()
    for name, term in JointLoss().terms(logits, target).items():
        (grad,) = torch.autograd.grad(term, logits, retain_graph=True)
        assert grad.abs().sum() > 0, name


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="one number a loss, got 2 for 3 losses"):
        JointLoss(weights=(1, 1))
    with pytest.raises(ValueError, match="weighting must be"):
        JointLoss(weighting="sum")
