"""The MSFM block against a double loop, its sizes and its options."""

import numpy as np
import pytest
import torch

from mmrs.models.layers.msfm import MSFMBlock, fit_to
from tests import oracles

BN = {"type": "BN"}


def build(in_channels=3, out_channels=2, skip_channels=2, **options):
    torch.manual_seed(0)
    block = MSFMBlock(
        in_channels, out_channels, skip_channels=skip_channels, norm_cfg=BN, **options
    )
    for conv in block.convs:
        norm = conv[1]
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            torch.nn.init.uniform_(tensor, 0.3, 1.2)
    return block.double().eval()


def by_loops(block, x, skip):
    convs = []
    for conv, norm, _ in block.convs:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - scale * norm.running_mean
        convs.append(tuple(t.detach().numpy() for t in (conv.weight, scale, shift)))
    deconv = None if block.deconv is None else block.deconv.weight.detach().numpy()
    return oracles.msfm(
        x.numpy(),
        None if skip is None else skip.numpy(),
        deconv=deconv,
        project=block.project.weight.detach().numpy()[:, :, 0, 0],
        convs=convs,
        concat=block.fusion == "concat",
    )


@pytest.mark.parametrize("options", [{}, {"fusion": "concat"}, {"upsampling": "plain"}])
@pytest.mark.parametrize("skip_size", [(6, 8), (5, 8), (5, 7), None])
def test_equals_the_double_loop(options, skip_size):
    skip_channels = 0 if skip_size is None else 2
    block = build(skip_channels=skip_channels, **options)
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    skip = None if skip_size is None else torch.randn(2, 2, *skip_size, dtype=torch.float64)
    with torch.no_grad():
        found = block(x, skip).numpy()
    assert found.shape == (2, 2, *(skip_size or (6, 8)))
    assert (found > 0).any()
    for i in range(2):
        expected = by_loops(block, x[i], None if skip is None else skip[i])
        np.testing.assert_allclose(found[i], expected, atol=1e-12)


def test_a_map_one_pixel_too_large_is_cropped_and_any_other_resized():
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert torch.equal(fit_to(x, torch.empty(1, 5, 4, 6)), x)
    assert torch.equal(fit_to(x, torch.empty(1, 5, 3, 5)), x[..., :3, :5])
    half = fit_to(x, torch.empty(1, 5, 2, 3))  # the means of 2 x 2
    torch.testing.assert_close(half, torch.nn.functional.avg_pool2d(x, 2))
    assert fit_to(x, torch.empty(1, 5, 9, 7)).shape == (1, 1, 9, 7)


def test_activation_and_normalisation_are_those_asked_for():
    block = MSFMBlock(2, 4, norm_cfg={"type": "GN", "num_groups": 2}, act_cfg={"type": "GELU"})
    kinds = {type(m).__name__ for m in block.modules()}
    assert {"GroupNorm", "GELU"} <= kinds and not {"BatchNorm2d", "ReLU"} & kinds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "mean"}, "fusion must be 'sum' or 'concat', got 'mean'"),
        ({"upsampling": "nearest"}, "upsampling must be 'msfm' or 'plain', got 'nearest'"),
        ({"upsampling": "plain", "fusion": "concat"}, "fusion='concat' needs upsampling='msfm'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MSFMBlock(2, 2, norm_cfg=BN, **options)
