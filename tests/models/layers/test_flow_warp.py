"""FlowWarp: bilinear at the start, the four variants by hand, parameters, bad input."""

import pytest
import torch
import torch.nn.functional as F

from mmrs.models.layers.flow_warp import FlowWarp
from mmrs.ops.warp import flow_warp

VARIANTS = ("ifwm", "rifw", "lsf", "sf")


def maps(channels=3, fine=(16, 12), coarse=(8, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, channels, *size, generator=generator) for size in (fine, coarse)]


def randomise(module, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


def bilinear(x, like):
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


# odd fine sizes: a coarse map of a strided convolution is rounded up
@pytest.mark.parametrize(("size", "ratio"), [((16, 12), 2), ((17, 13), 4), ((16, 24), 8)])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("initialised", [False, True])
def test_it_starts_as_bilinear_interpolation_and_a_sum(size, ratio, variant, initialised):
    module = FlowWarp(3, ratio=ratio, variant=variant)
    if initialised:
        randomise(module).init_weights()
    fine, coarse = maps(fine=size, coarse=tuple(-(-side // ratio) for side in size))
    expected = fine + bilinear(coarse, fine)
    torch.testing.assert_close(module(fine, coarse), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_its_formula(variant):
    module = randomise(FlowWarp(3, ratio=2, variant=variant))
    fine, coarse = maps()
    up = bilinear(coarse, fine)
    if variant in ("ifwm", "rifw"):
        pixel, region = module.pixel_conv.weight, module.region_conv.weight
        flow = F.conv2d(fine, pixel, padding=pixel.shape[-1] // 2)
        flow = flow + F.conv2d(up, region, padding=1)
    else:
        flow = F.conv2d(torch.cat([fine, up], 1), module.joint_conv.weight, padding=1)
    assert flow.abs().max() > 1  # pixels do move
    torch.testing.assert_close(module(fine, coarse), fine + flow_warp(up, flow))
    torch.testing.assert_close(module.align(fine, coarse), flow_warp(up, flow))


@pytest.mark.parametrize(("ratio", "kernel"), [(1, 1), (2, 3), (4, 7), (8, 15)])
def test_kernels_are_the_papers_and_the_parameters_follow(ratio, kernel):
    # two outputs (x, y), no bias
    expected = {
        "ifwm": 2 * 5 * (1 + kernel**2),
        "rifw": 2 * 5 * (9 + kernel**2),
        "lsf": 2 * 10 * kernel**2,
        "sf": 2 * 10 * 9,
    }
    for variant, count in expected.items():
        module = FlowWarp(5, ratio=ratio, variant=variant)
        assert sum(p.numel() for p in module.parameters()) == count, variant


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_reach_both_maps_and_the_flow(variant):
    module = FlowWarp(3, variant=variant)
    fine, coarse = (x.requires_grad_() for x in maps())
    module(fine, coarse).square().sum().backward()
    tensors = [fine, coarse, *module.parameters()]
    assert all(t.grad.isfinite().all() and t.grad.abs().sum() > 0 for t in tensors)


def test_half_precision_by_autocast_is_close():
    module = randomise(FlowWarp(3))
    fine, coarse = maps()
    exact = module(fine, coarse)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(module(fine, coarse), exact, rtol=0.05, atol=0.1)


def test_bad_options_and_maps_are_refused():
    for options, message in (
        ({"variant": "fam"}, "variant must be one of .*, got 'fam'"),
        ({"ratio": 3}, "ratio must be a power of two, got 3"),
        ({"ratio": 0}, "ratio must be a power of two, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            FlowWarp(3, **options)
    fine, coarse = maps()
    with pytest.raises(ValueError, match=r"must have 4 channels, got 3 \(fine\) and 3 \(coarse\)"):
        FlowWarp(4)(fine, coarse)
