"""Region features and the attention over them, against loops."""

import math

import numpy as np
import pytest
import torch

from mmrs.ops.region_context import attend_regions, gather_regions


def test_regions_are_means_weighted_over_the_pixels():
    features = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    logits = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    out = gather_regions(features, logits)
    for b in range(2):
        for k in range(3):
            weight = np.exp(logits[b, k].numpy())
            weight /= weight.sum()
            expected = (features[b].numpy() * weight).sum(axis=(1, 2))
            np.testing.assert_allclose(out[b, k].numpy(), expected)


def test_a_certain_region_takes_one_pixel():
    features = torch.arange(24.0).reshape(1, 2, 3, 4)
    logits = torch.zeros(1, 1, 3, 4)
    logits[0, 0, 1, 2] = 100
    torch.testing.assert_close(gather_regions(features, logits)[0, 0], features[0, :, 1, 2])


def test_attention_over_regions_equals_a_loop():
    query = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    key, value = torch.randn(2, 2, 6, 4, dtype=torch.float64)
    out = attend_regions(query, key, value)
    assert out.shape == query.shape
    for b in range(2):
        for y in range(3):
            for x in range(5):
                logits = (key[b] @ query[b, :, y, x]).numpy() / math.sqrt(4)
                share = np.exp(logits) / np.exp(logits).sum()
                np.testing.assert_allclose(out[b, :, y, x].numpy(), share @ value[b].numpy())


def test_maps_of_different_size_are_refused():
    with pytest.raises(ValueError, match="share batch, height and width"):
        gather_regions(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 5))
