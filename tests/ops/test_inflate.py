"""Inflated first convolutions: what known bands keep, and that activations keep their scale."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from mmrs.ops.inflate import inflate_first_conv


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def response(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return conv2d(image.expand(1, weight.shape[1], -1, -1), weight)


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 8, 12, 13])
def test_a_grey_image_keeps_its_response_whatever_the_number_of_bands(weight, in_channels) -> None:
    grey = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    inflated = inflate_first_conv(weight, in_channels)
    assert inflated.shape == (5, in_channels, 3, 3)
    torch.testing.assert_close(response(grey, inflated), response(grey, weight))
    # the control: zeros for the further bands, or repetition without the factor, do not
    if in_channels > 3:
        plain = weight[:, [band % 3 for band in range(in_channels)]]
        assert not torch.allclose(response(grey, plain), response(grey, weight))


@pytest.mark.parametrize("in_channels", [3, 6, 12])
def test_repetition_keeps_the_grey_response_at_multiples(weight, in_channels) -> None:
    grey = torch.ones(1, 1, 5, 5, dtype=torch.double)
    inflated = inflate_first_conv(weight, in_channels, "cycle")
    torch.testing.assert_close(response(grey, inflated), response(grey, weight))


def test_as_many_bands_keep_their_weights(weight) -> None:
    for rule in ("mean", "cycle", "first"):
        torch.testing.assert_close(inflate_first_conv(weight, 3, rule), weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("rule", "further"),
    [
        ("mean", lambda w: (w[:, 0] + w[:, 1] + w[:, 2]) / 3),
        ("cycle", lambda w: w[:, 0]),  # band 3 of 0-4
        ("first", lambda w: w[:, 0]),
    ],
)
def test_known_bands_keep_their_filters_and_further_ones_follow_the_rule(weight, rule, further):
    inflated = inflate_first_conv(weight, 5, rule)
    torch.testing.assert_close(inflated[:, :3], weight * 3 / 5)
    torch.testing.assert_close(inflated[:, 3], further(weight) * 3 / 5)
    if rule == "cycle":
        torch.testing.assert_close(inflated[:, 4], weight[:, 1] * 3 / 5)


def test_named_bands_find_their_filters_in_any_order(weight) -> None:
    # near infrared, red, green, blue
    inflated = inflate_first_conv(weight, 4, source_bands=[None, 0, 1, 2])
    torch.testing.assert_close(inflated[:, 1:], weight * 3 / 4)
    torch.testing.assert_close(inflated[:, 0], weight.mean(dim=1) * 3 / 4)
    # blue first, as OpenCV reads it: a permutation, so no factor
    torch.testing.assert_close(
        inflate_first_conv(weight, 3, source_bands=[2, 1, 0]), weight.flip(dims=[1])
    )


def test_type_is_kept_and_nothing_is_shared(weight) -> None:
    half = weight.half()
    inflated = inflate_first_conv(half, 4)
    assert inflated.dtype == torch.float16
    inflated.zero_()
    assert half.abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels must be >= 1, got 0"),
        ({"in_channels": 4, "rule": "zero"}, "rule must be one of mean, cycle, first, got 'zero'"),
        ({"in_channels": 4, "source_bands": [0, 1, 2]}, "for each of 4 bands"),
        ({"in_channels": 2, "source_bands": [0, 3]}, "from 0 to 2, or None"),
        ({"in_channels": 2, "source_bands": [1, 1]}, "different numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(weight, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inflate_first_conv(weight, **options)


def test_a_vector_is_no_convolution() -> None:
    with pytest.raises(ValueError, match=r"must be \(K, S, ...\)"):
        inflate_first_conv(torch.zeros(3), 4)
