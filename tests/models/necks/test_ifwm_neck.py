"""IFWMNeck: a feature pyramid at zero flow, any ratios and sizes, one-line errors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmrs.errors import ConfigError
from mmrs.models.layers.flow_warp import FlowWarp
from mmrs.models.necks import IFWMNeck
from mmrs.registry import MODELS


def levels(channels, sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, c, *size, generator=generator)
        for c, size in zip(channels, sizes, strict=True)
    ]


def test_it_starts_as_a_top_down_sum_of_bilinear_maps():
    channels, sizes = (3, 5, 7), [(16, 12), (8, 6), (4, 3)]
    neck = IFWMNeck(channels, 4)
    neck.init_weights()
    inputs = levels(channels, sizes)
    outputs = neck(inputs)
    expected = [lateral(x) for lateral, x in zip(neck.laterals, inputs, strict=True)]
    for i in (1, 0):
        up = F.interpolate(expected[i + 1], size=sizes[i], mode="bilinear", align_corners=False)
        expected[i] = expected[i] + up
    for a, b in zip(outputs, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "ratios"),
    [
        ([(17, 23), (9, 12), (5, 6)], None),  # a strided convolution rounds up
        ([(16, 16), (16, 16), (16, 16)], (1, 1)),  # a dilated backbone
        ([(32, 32), (8, 8), (1, 1)], (4, 8)),
    ],
)
def test_outputs_have_one_width_and_the_sizes_of_the_levels(sizes, ratios):
    channels = (3, 5, 7)
    neck = IFWMNeck(channels, 4, ratios=ratios)
    for x, size in zip(neck(levels(channels, sizes)), sizes, strict=True):
        assert x.shape == (2, 4, *size)
    kernels = [flow.region_conv.kernel_size[0] for flow in neck.flow_warps]
    assert kernels == [2 * ratio - 1 for ratio in ratios or (2, 2)]


def test_options_reach_the_layers():
    neck = IFWMNeck((3, 5), 4, variant="lsf", norm_cfg={"type": "GN", "num_groups": 2})
    assert neck.flow_warps[0].joint_conv.in_channels == 8
    assert isinstance(neck.laterals[0][1], nn.GroupNorm)
    assert isinstance(IFWMNeck((3, 5), 4).laterals[0][1], nn.BatchNorm2d)


def test_initialisation_leaves_only_the_flows_zero():
    neck = IFWMNeck((3, 5), 4)
    for parameter in neck.parameters():
        nn.init.constant_(parameter, 7)
    neck.init_weights()
    assert all(lateral[0].weight.unique().numel() > 1 for lateral in neck.laterals)
    flows = [m for m in neck.modules() if isinstance(m, FlowWarp)]
    assert flows
    assert not any(p.any() for flow in flows for p in flow.parameters())


def test_every_weight_gets_a_gradient():
    neck = IFWMNeck((3, 5, 7), 4)
    outputs = neck(levels((3, 5, 7), [(16, 12), (8, 6), (4, 3)]))
    sum(x.square().sum() for x in outputs).backward()
    assert all(p.grad is not None for p in neck.parameters())
    assert all(p.grad.abs().sum() > 0 for p in neck.flow_warps.parameters())


def test_it_is_found_by_its_prefixed_name():
    settings = {"type": "mmrs.IFWMNeck", "in_channels": [3, 5], "out_channels": 4}
    assert isinstance(MODELS.build(settings), IFWMNeck)


def test_bad_options_and_levels_are_refused_in_one_line():
    for options, message in (
        ({"in_channels": ()}, "at least one level"),
        ({"ratios": (2, 2)}, r"ratios must be 1 numbers for 2 levels, got \(2, 2\)"),
        ({"ratios": (3,)}, "ratio must be a power of two, got 3"),
        ({"variant": "x"}, "variant must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            IFWMNeck(**{"in_channels": (3, 5), "out_channels": 4, **options})
    neck = IFWMNeck((3, 5), 4)
    for channels in ((3,), (3, 5, 7), (5, 3)):
        inputs = levels(channels, [(8, 8)] * len(channels))
        with pytest.raises(ConfigError, match=r"in_channels is \(3, 5\)\. Fix: set in_channels="):
            neck(inputs)
