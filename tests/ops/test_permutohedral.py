"""The permutohedral lattice against sums over all pairs."""

import pytest
import torch
from torch import Tensor

from mmrs.ops.permutohedral import build_lattice, lattice_filter


def make_points(count: int, dimensions: int, *, spread: float = 1.5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) * spread


def all_pairs(features: Tensor, values: Tensor) -> Tensor:
    """Normalised Gaussian means in float64."""
    kernel = torch.exp(-0.5 * torch.cdist(features.double(), features.double()).square())
    return kernel @ values.double() / kernel.sum(1, keepdim=True)


def normalized(features: Tensor, values: Tensor, **options) -> Tensor:
    lattice = build_lattice(features, **options)
    total = lattice_filter(lattice, torch.ones(len(features), 1))
    return lattice_filter(lattice, values) / total


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 6])
def test_filter_is_a_gaussian_mean(dimensions):
    features = make_points(800, dimensions)
    values = torch.sin(features.sum(1, keepdim=True)) + features[:, :1]
    expected = all_pairs(features, values)
    result = normalized(features, values, num_rings=1)
    # the lattice's own error: a few per cent of the values' range
    assert (result - expected).abs().mean() < 0.03 * (values.max() - values.min())


def test_width_of_the_kernel_is_one_standard_deviation():
    # interpolation 1/6 twice and two blurs of 1/2, at a spacing whose square is 3/4: 1 in the mean
    # over the places of a point between its lattice points
    features = torch.linspace(-8, 8, 1601)[:, None]
    impulses = torch.eye(1601)[:, 700:900:4]
    response = lattice_filter(build_lattice(features, num_rings=2), impulses)
    distance = features - features[700:900:4].T
    variance = (response * distance.square()).sum(0) / response.sum(0)
    assert variance.mean().item() == pytest.approx(1.0, abs=0.03)


def test_weights_of_a_simplex_are_a_partition_of_one():
    lattice = build_lattice(make_points(300, 5))
    weights = lattice.slice.to_dense()
    assert (weights >= -1e-5).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(300))
    torch.testing.assert_close(lattice.splat.to_dense(), weights.T)
    assert (weights.count_nonzero(1) <= 6).all()


def test_points_on_lattice_points_and_equal_points_are_no_trouble():
    features = torch.zeros(10, 4)
    values = torch.arange(10.0)[:, None]
    torch.testing.assert_close(normalized(features, values), torch.full((10, 1), 4.5))


def test_constant_values_stay_constant():
    features = make_points(500, 5, spread=4)
    torch.testing.assert_close(
        normalized(features, torch.full((500, 2), 3.0)), torch.full((500, 2), 3.0)
    )


def test_filtering_is_linear_and_treats_columns_alone():
    features, values = make_points(200, 3), torch.randn(200, 4)
    lattice = build_lattice(features)
    together = lattice_filter(lattice, values)
    alone = torch.cat([lattice_filter(lattice, column[:, None]) for column in values.T], 1)
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(
        lattice_filter(lattice, 2 * values[:, :1] - values[:, 1:2]),
        2 * together[:, :1] - together[:, 1:2],
        rtol=1e-4,
        atol=1e-4,
    )


def test_groups_do_not_meet():
    features, values = make_points(200, 3), torch.randn(200, 1)
    groups = torch.arange(200) % 2
    result = normalized(features, values, groups=groups)
    for group in (0, 1):
        chosen = groups == group
        # the same lattice over both, so only the rounding differs
        torch.testing.assert_close(
            result[chosen], normalized(features[chosen], values[chosen]), rtol=1e-3, atol=1e-4
        )


def test_a_ring_lessens_the_error():
    features = make_points(1500, 5, spread=2.0)
    values = torch.randn(1500, 1)
    expected = all_pairs(features, values)
    errors = [(normalized(features, values, num_rings=n) - expected).abs().mean() for n in (0, 1)]
    assert errors[1] < errors[0]


def test_no_points_give_no_values():
    lattice = build_lattice(torch.zeros(0, 3), groups=torch.zeros(0, dtype=torch.long))
    assert lattice_filter(lattice, torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": torch.zeros(3)}, r"features must be \(P, D\)"),
        ({"features": torch.zeros(3, 0)}, "D >= 1"),
        ({"features": torch.tensor([[torch.inf]])}, "features must be finite and within"),
        ({"features": torch.zeros(3, 2), "groups": torch.zeros(2)}, r"groups must be \(3,\)"),
        ({"features": torch.zeros(3, 2), "num_rings": -1}, "num_rings must be >= 0"),
        ({"features": torch.full((3, 2), 1e6)}, "features must be finite and within"),
        ({"features": 1e5 * torch.rand(9, 6)}, "fewer than 2\\^62 cells"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_lattice(**arguments)
