"""ICNR: equal filters in each cell, so that the shuffle repeats pixels."""

import pytest
import torch

from mmrs.ops.icnr import icnr_


@pytest.mark.parametrize("shape", [(12, 3, 1, 1), (12, 2, 3, 3), (12,)])
def test_filters_of_a_cell_are_equal_and_cells_differ(shape):
    weight = torch.randn(*shape)
    before = weight.clone()
    assert icnr_(weight, 2) is weight
    for channel in range(3):
        for position in range(4):
            assert torch.equal(weight[4 * channel + position], before[4 * channel])
    assert not torch.equal(weight[0], weight[4])


def test_a_shuffled_convolution_starts_as_nearest_neighbour_upsampling():
    r, k = 3, 2
    weight = icnr_(torch.randn(k * r * r, 5, 1, 1), r)
    x = torch.randn(1, 5, 4, 6)
    out = torch.nn.functional.pixel_shuffle(torch.nn.functional.conv2d(x, weight), r)
    small = torch.nn.functional.conv2d(x, weight[:: r * r])
    for y in range(12):
        for column in range(18):
            torch.testing.assert_close(out[0, :, y, column], small[0, :, y // r, column // r])


def test_a_parameter_is_changed_in_place_without_a_gradient():
    weight = torch.nn.Parameter(torch.randn(4, 2, 1, 1))
    icnr_(weight, 2)
    assert weight.requires_grad and weight.grad_fn is None
    assert len(torch.unique(weight.detach(), dim=0)) == 1


def test_a_factor_of_one_changes_nothing():
    weight = torch.randn(5, 2)
    assert torch.equal(icnr_(weight.clone(), 1), weight)


@pytest.mark.parametrize(
    ("shape", "factor", "message"),
    [
        ((4, 1), 0, "upscale_factor must be >= 1, got 0"),
        ((6, 1), 2, r"multiple of upscale_factor² \(4\), got weight of shape \(6, 1\)"),
        ((), 1, "multiple of"),
    ],
)
def test_impossible_cells_are_refused(shape, factor, message):
    with pytest.raises(ValueError, match=message):
        icnr_(torch.zeros(shape), factor)
