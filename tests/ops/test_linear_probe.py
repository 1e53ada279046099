"""The probe where its answer is known: separable classes, none at all, and its own optimum."""

import pytest
import torch
from scipy.optimize import minimize

from mmrs.ops.linear_probe import cross_validated_probe, logistic_regression, stratified_folds


def test_folds_hold_every_class_evenly_and_follow_the_seed():
    labels = torch.arange(3).repeat_interleave(torch.tensor([20, 7, 3]))
    labels = labels[torch.randperm(30)]
    folds = stratified_folds(labels, num_folds=5, seed=1)
    for label in range(3):
        counts = folds[labels == label].bincount(minlength=5)
        assert counts.max() - counts.min() <= 1
    assert folds.bincount().tolist() == [6] * 5
    assert torch.equal(folds, stratified_folds(labels, num_folds=5, seed=1))
    assert not torch.equal(folds, stratified_folds(labels, num_folds=5, seed=2))


@pytest.mark.parametrize("l2", [0.1, 1.0, 30.0])
def test_the_classifier_is_the_optimum_that_another_solver_finds(l2):
    labels = torch.randint(0, 3, (25,))
    features = torch.randn(25, 4) + torch.randn(3, 4)[labels]

    def objective(flat):
        weight, bias = torch.tensor(flat[:12]).reshape(3, 4), torch.tensor(flat[12:])
        scores = features.double() @ weight.T + bias
        entropies = scores.logsumexp(dim=1) - scores[torch.arange(25), labels]
        return float(entropies.sum() + l2 / 2 * weight.square().sum())

    best = minimize(objective, torch.zeros(15).double().numpy(), options={"gtol": 1e-6})
    weight, bias = logistic_regression(features, labels, num_classes=3, l2=l2)
    assert objective(torch.cat((weight.flatten(), bias)).numpy()) <= best.fun * (1 + 1e-6)
    torch.testing.assert_close(weight.flatten(), torch.tensor(best.x[:12]), atol=2e-3, rtol=0)
    short, _ = logistic_regression(features, labels, num_classes=3, l2=l2, max_steps=1)
    assert not torch.allclose(short, weight)


def test_separable_classes_are_all_told():
    labels = torch.arange(3).repeat(20)
    features = torch.randn(60, 10) + 20 * torch.eye(3, 10)[labels]
    # scales differ by a million, and one feature is always the same
    features = torch.cat((features * torch.logspace(-3, 3, 10), torch.full((60, 1), 0.1)), dim=1)
    assert torch.equal(cross_validated_probe(features, labels, num_classes=3), labels)


def test_labels_without_meaning_are_told_as_often_as_by_chance():
    labels = torch.randint(0, 4, (400,))
    told = cross_validated_probe(torch.randn(400, 20), labels, num_classes=4)
    # three deviations of a share of 1/4 of 400
    assert (told == labels).float().mean().item() == pytest.approx(0.25, abs=0.065)


def test_no_sample_is_trained_on_where_it_is_told():
    """Each feature marks one sample: only a classifier that had seen it could tell its class."""
    labels = torch.arange(2).repeat(10)
    seen = logistic_regression(torch.eye(20) * 5, labels, num_classes=2)
    assert torch.equal((torch.eye(20).double() @ seen[0].T + seen[1]).argmax(dim=1), labels)
    told = cross_validated_probe(torch.eye(20), labels, num_classes=2, num_folds=4)
    assert (told == labels).float().mean() < 0.8


def test_a_held_out_sample_does_not_change_what_is_told_of_its_fold():
    """Neither the classifier nor the scale of the features knows it."""
    labels = torch.randint(0, 3, (60,))
    features = torch.randn(60, 8) + 0.6 * torch.randn(3, 8)[labels]
    folds = stratified_folds(labels, num_folds=2)
    strange = features.clone()
    strange[0] *= 1e4
    plain = cross_validated_probe(features, labels, num_classes=3, num_folds=2)
    found = cross_validated_probe(strange, labels, num_classes=3, num_folds=2)
    same = folds == folds[0]
    same[0] = False
    assert torch.equal(plain[same], found[same])
    assert not torch.equal(plain[folds != folds[0]], found[folds != folds[0]])


def test_every_option_changes_what_is_told():
    labels = torch.randint(0, 3, (60,))
    features = torch.randn(60, 8) + 0.6 * torch.randn(3, 8)[labels]

    def told(**options):
        return cross_validated_probe(features, labels, num_classes=3, **options).tolist()

    plain = told()
    assert plain == told()
    for options in ({"seed": 1}, {"num_folds": 2}, {"l2": 300.0}, {"max_steps": 1}):
        assert told(**options) != plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_folds": 1}, "num_folds must be >= 2, got 1"),
        ({"num_folds": 9}, "9 folds need as many samples, got 8"),
        ({"l2": 0}, "l2 must be > 0"),
        ({"max_steps": 0}, "max_steps >= 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    labels = torch.arange(2).repeat(4)
    with pytest.raises(ValueError, match=message):
        cross_validated_probe(torch.randn(8, 2), labels, num_classes=2, **options)
    with pytest.raises(ValueError, match="features must be finite"):
        cross_validated_probe(torch.full((8, 2), torch.nan), labels, num_classes=2)
