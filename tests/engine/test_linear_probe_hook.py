"""The hook passes its options on, and takes no more folds than there are pictures."""

import torch

from mmrs.engine import LinearProbeHook
from mmrs.ops.linear_probe import cross_validated_probe


def test_options_reach_the_probe():
    labels = torch.randint(0, 3, (30,))
    features = torch.randn(30, 3) + torch.randn(3, 3)[labels]
    for options in ({}, {"num_folds": 3}, {"l2": 50.0}, {"max_steps": 1}, {"seed": 4}):
        expected = cross_validated_probe(features, labels, num_classes=3, **options)
        found = LinearProbeHook(dataset={}, **options).told(features, labels, 3)
        assert torch.equal(found, expected)


def test_a_set_smaller_than_the_folds_is_left_one_out():
    labels = torch.tensor([0, 0, 1, 1])
    features = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    assert torch.equal(LinearProbeHook(dataset={}).told(features, labels, 2), labels)
