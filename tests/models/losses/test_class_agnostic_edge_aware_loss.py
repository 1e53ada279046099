"""CEA against two SciPy transforms a mask, and its draws."""

import numpy as np
import pytest
import torch

from mmrs.models.losses import ClassAgnosticEdgeAwareLoss
from tests import oracles
from tests.models.losses.cases import random_case


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("cap", "power"), [(32.0, 2.0), (3.0, 2.0), (5.0, 1.0)])
def test_one_class_equals_the_oracle(seed, cap, power):
    logits, target = random_case(seed, size=(13, 17))
    loss = ClassAgnosticEdgeAwareLoss(cap_px=cap, power=power)
    for label in range(4):
        expected = oracles.class_agnostic_edge_aware(
            logits.numpy(), target.numpy(), label, cap=cap, power=power
        )
        value = loss(logits, target, class_index=torch.tensor(label))
        assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_all_is_the_mean_over_the_present_classes(seed):
    logits, target = random_case(seed)
    target[target == seed % 4] = 255
    present = sorted(set(target.flatten().tolist()) - {255})
    expected = np.mean(
        [
            oracles.class_agnostic_edge_aware(logits.numpy(), target.numpy(), label)
            for label in present
        ]
    )
    value = ClassAgnosticEdgeAwareLoss(classes="all")(logits, target)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_an_empty_prediction_weighs_every_error_by_the_cap():
    # two equal classes: P = 0.5 is not > 0.5, S is empty, its weight is 1 everywhere
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    target[0, :, 2:] = 1
    logits = torch.zeros(1, 2, 4, 4)
    edges = oracles.edge_distance(target[0].numpy() == 1, np.ones((4, 4), bool), 32.0)
    expected = (0.25 * ((edges / 32) ** 2 + 1)).mean()
    value = ClassAgnosticEdgeAwareLoss()(logits, target, class_index=1)
    assert value.item() == pytest.approx(expected)


def test_no_gradient_flows_through_the_distances():
    """The gradient is that of the squared error under a constant weight."""
    logits, target = random_case(2)
    loss = ClassAgnosticEdgeAwareLoss()
    z = logits.clone().requires_grad_()
    loss(z, target, class_index=1).backward()
    p = logits.double().softmax(1)[:, 1].numpy()
    valid = target.numpy() != 255
    weight = np.stack(
        [
            sum((oracles.edge_distance(m, v, 32.0) / 32) ** 2 for m in ((t == 1), (q > 0.5)))
            for t, q, v in zip(target.numpy(), p, valid, strict=True)
        ]
    )
    q = logits.double().clone().requires_grad_()
    error = (torch.from_numpy(target.numpy() == 1).double() - q.softmax(1)[:, 1]) ** 2
    (error * torch.from_numpy(weight * valid)).sum().div(valid.sum()).backward()
    torch.testing.assert_close(z.grad.double(), q.grad, rtol=1e-4, atol=1e-8)


def test_every_call_draws_anew_and_a_saved_state_goes_on_with_the_draws():
    logits, target = random_case(1)
    first = ClassAgnosticEdgeAwareLoss(seed=4)
    values = [first(logits, target).item() for _ in range(8)]
    assert len(set(values)) > 1
    again = ClassAgnosticEdgeAwareLoss(seed=4)
    assert [again(logits, target).item() for _ in range(3)] == values[:3]
    resumed = ClassAgnosticEdgeAwareLoss(seed=4)
    resumed.load_state_dict(again.state_dict())
    assert [resumed(logits, target).item() for _ in range(5)] == values[3:]


def test_a_shared_draw_gives_both_outputs_the_same_class():
    logits, target = random_case(1)
    loss = ClassAgnosticEdgeAwareLoss()
    for _ in range(5):
        draw = loss.draw(target, 4)
        label = int(draw["class_index"])
        expected = oracles.class_agnostic_edge_aware(logits.numpy(), target.numpy(), label)
        assert loss(logits, target, **draw).item() == pytest.approx(expected, rel=1e-5)
        assert loss(logits, target, **draw).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", ["one", "all"])
def test_neither_threads_nor_the_batch_change_value_and_gradient(classes):
    """Image by image, in one thread or two, as in one image (the GPU's path)."""
    logits, target = random_case(3)
    logits.requires_grad_()
    before = torch.get_num_threads()
    results = []
    for way in ("one thread", "two threads", "whole batch"):
        torch.set_num_threads(2 if way == "two threads" else 1)
        z, t = _side_by_side(logits, target) if way == "whole batch" else (logits, target)
        value = ClassAgnosticEdgeAwareLoss(classes=classes)(z, t)
        results.append((value, *torch.autograd.grad(value, logits)))
    torch.set_num_threads(before)
    for value, gradient in results[1:]:
        torch.testing.assert_close(value, results[0][0])
        torch.testing.assert_close(gradient, results[0][1])


def test_bad_options_are_refused():
    for options, message in (
        ({"classes": "two"}, "classes must be"),
        ({"cap_px": 0}, "cap_px must be > 0, got 0"),
        ({"power": -1}, "power must be > 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            ClassAgnosticEdgeAwareLoss(**options)


def _side_by_side(logits, target, wall=40):
    """The batch as one image; the ignored wall between is wider than the cap."""
    _, k, h, _ = logits.shape
    walls = logits.new_zeros(k, h, wall), target.new_full((h, wall), 255)
    z = torch.cat([logits[0], walls[0], logits[1]], dim=2)
    t = torch.cat([target[0], walls[1], target[1]], dim=1)
    return z[None], t[None]
