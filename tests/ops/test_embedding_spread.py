"""Spread and rank where they are known: spheres, points, lines and subspaces."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmrs.ops.embedding_spread import effective_rank, embedding_spread


def unit(count, dim):
    return F.normalize(torch.randn(count, dim), dim=1)


@pytest.mark.parametrize("dim", [8, 64])
def test_an_even_sphere_has_spread_1_and_full_rank(dim):
    points = unit(4000, dim)
    assert embedding_spread(points) == pytest.approx(1, abs=0.01)
    assert effective_rank(points) == pytest.approx(dim, rel=0.02)


def test_a_point_has_spread_0_and_rank_1():
    points = unit(1, 16).expand(50, 16)
    assert embedding_spread(points) == pytest.approx(0, abs=1e-6)
    assert effective_rank(points) == pytest.approx(1, abs=1e-4)


def test_two_opposite_points_are_seen_by_the_rank_alone():
    point = unit(1, 16)
    points = torch.cat((point, -point)).repeat(20, 1)
    assert embedding_spread(points) > 0.6
    assert effective_rank(points) == pytest.approx(1, abs=1e-4)


def test_spread_is_the_mean_of_the_deviations_of_the_dimensions():
    points = unit(30, 5) * 0.3 + 0.1
    deviations = [np.std(column.numpy(), ddof=1) for column in points.T]
    assert embedding_spread(points) == pytest.approx(math.sqrt(5) * np.mean(deviations), rel=1e-5)


def test_the_rank_of_a_few_orthogonal_directions_is_their_number():
    basis = torch.linalg.qr(torch.randn(12, 4))[0].T  # 4 directions of 12
    assert effective_rank(basis.repeat(9, 1)) == pytest.approx(4, abs=1e-4)
    # one direction three times as strong: entropy of shares 1/2, 1/6, 1/6, 1/6
    weights = torch.tensor([3.0, 1, 1, 1])[:, None]
    entropy = 0.5 * math.log(2) + 0.5 * math.log(6)
    assert effective_rank(basis * weights) == pytest.approx(math.exp(entropy), rel=1e-5)


def test_numbers_that_are_none_are_told_as_such():
    points = unit(5, 3)
    points[2, 1] = torch.inf
    assert math.isnan(embedding_spread(points)) and math.isnan(effective_rank(points))
    assert effective_rank(torch.zeros(4, 3)) == 0
    for function in (embedding_spread, effective_rank):
        with pytest.raises(ValueError, match=r"must be \(N >= 2, D\), got \(1, 3\)"):
            function(torch.ones(1, 3))
