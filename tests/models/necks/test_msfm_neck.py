"""The MSFM neck: which map meets which, sizes behind any backbone, parameter sums."""

import pytest
import torch
from mmseg.registry import MODELS

from mmrs.errors import ConfigError
from mmrs.models.necks import MSFM

RESNET = {"type": "ResNet", "depth": 18, "base_channels": 8, "stem_channels": 8}
IN, OUT = (2, 3, 4, 5), (3, 4, 6, 8, 10)


def maps(channels=IN, sides=(16, 8, 4, 2)):
    return [
        torch.randn(2, c, side, side + 2 * side // sides[-1])
        for c, side in zip(channels, sides, strict=True)
    ]


def test_decoded_maps_run_from_the_highest_resolution_down():
    neck = MSFM(IN, OUT)
    inputs = maps()
    sizes = [tuple(x.shape[-2:]) for x in inputs]
    doubled = [tuple(2 * side for side in sizes[0]), tuple(4 * side for side in sizes[0])]
    found = [(x.shape[1], tuple(x.shape[-2:])) for x in neck(inputs)]
    assert found == list(zip(OUT, [doubled[1], doubled[0], *sizes[:-1]], strict=True))


def test_each_block_takes_the_skip_of_its_level():
    neck = MSFM(IN, OUT[2:]).eval()
    inputs = maps()
    with torch.no_grad():
        before = neck(inputs)
        for level in range(len(IN)):
            changed = [x + (i == level) for i, x in enumerate(inputs)]
            after = neck(changed)
            # what is decoded below a skip's level does not know it; the lowest map reaches all
            moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
            assert moved == [i <= level for i in range(len(before))]


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        (RESNET, (8, 16, 32, 64)),
        ({**RESNET, "strides": (1, 2, 1, 1)}, (8, 16, 32, 64)),
        ({"type": "mmrs.RMNetEncoder", "base_channels": 2}, (2, 2, 16, 32, 64)),
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (50, 77), (33, 35)])
def test_works_behind_stock_backbones_at_any_size(backbone, channels, size):
    model = MODELS.build(backbone)
    model.eval()  # MMSeg's ResNet returns None here
    neck = MSFM(channels, (4,) * 4).eval()
    with torch.no_grad():
        inputs = model(torch.randn(1, 3, *size))
        outputs = neck(inputs)
    assert len(outputs) == 4
    if len(inputs) == 4:
        assert outputs[0].shape[-2:] == tuple(2 * side for side in inputs[0].shape[-2:])
        outputs = outputs[1:]
    for decoded, skip in zip(outputs, inputs, strict=False):
        assert decoded.shape == (1, 4, *skip.shape[-2:])


@pytest.mark.parametrize(
    "options",
    [{"fusion": "concat"}, {"upsampling": "plain"}, {"act_cfg": {"type": "GELU"}}],
)
def test_each_option_changes_the_result(options):
    inputs = maps()
    results = []
    for cfg in ({}, options):
        torch.manual_seed(0)
        neck = MSFM(IN, OUT, **cfg).eval()
        neck.init_weights()
        with torch.no_grad():
            results.append(neck(inputs)[0])
    assert not torch.allclose(*results)


def test_initial_weights_are_kaiming_and_keep_the_scale():
    torch.manual_seed(0)
    neck = MSFM((64, 64), (64, 64))
    neck.init_weights()
    block = neck.blocks[0]
    # fan_out of a 3 x 3 from 128 to 64 is 64 * 9
    assert block.convs[0][0].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert all((conv[1].weight == 1).all() for conv in block.convs)
    outputs = neck([torch.randn(1, 64, 8, 8), torch.randn(1, 64, 4, 4)])
    assert all(0.3 < x.std().item() < 3 for x in outputs)


def test_gradient_reaches_every_parameter():
    neck = MSFM(IN, OUT)
    neck(maps())[0].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in neck.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4,), (4,)), r"in_channels must have at least 2 levels, got \(4,\)"),
        (((2, 3, 4), (4,)), r"out_channels must have at least 2 levels for 3 in_channels"),
    ],
)
def test_wrong_numbers_of_levels_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MSFM(*arguments)


def test_other_maps_than_announced_are_refused_in_one_line():
    neck = MSFM(IN, OUT)
    for inputs, least in ((maps()[1:], 2), (maps(channels=(2, 3, 4, 6)), 3)):
        rule = rf"but in_channels is \(2, 3, 4, 5\). Fix: set .* out_channels at least {least} num"
        with pytest.raises(ConfigError, match=rule):
            neck(inputs)
