"""The hook passes its options on."""

import torch

from mmrs.engine import KNNHook
from mmrs.ops.knn import leave_one_out_knn


def test_options_reach_the_vote():
    labels = torch.randint(0, 3, (30,))
    features = torch.randn(30, 3) + torch.randn(3, 3)[labels]
    for options in ({}, {"k": 1}, {"k": 9, "temperature": 5.0}):
        expected = leave_one_out_knn(features, labels, num_classes=3, **options)
        assert torch.equal(KNNHook(dataset={}, **options).told(features, labels, 3), expected)
