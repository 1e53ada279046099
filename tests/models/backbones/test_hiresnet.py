"""HiResNet: the paper's parameter sums, sizes, options, gradients."""

import pytest
import torch

from mmrs.models.backbones import HiResNet

TINY = {
    "stem_channels": 4,
    "funnel_channels": 8,
    "num_funnel_blocks": 2,
    "widths": (4, 8, 12),
    "num_modules": (1, 2),
    "num_blocks": (1, 2),
    "head_dim": 4,
    "window_size": 4,
}


def num_params(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def full():
    with torch.device("meta"):
        return HiResNet()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("stem", 38_726),
        ("funnel", 688_768 + 3 * 1_114_624),
        ("transition1", 332_800),
        ("layer1", 342_432),
        ("transition2", 166_080),
        ("layer2", 15_861_888),
    ],
)
def test_every_module_has_exactly_the_parameters_that_the_paper_forces(full, part, expected):
    assert num_params(getattr(full, part)) == expected


def test_the_backbone_has_20_775_m_parameters_and_no_other_part(full):
    assert num_params(full) == 20_774_566
    assert {name for name, _ in full.named_children()} == {
        "stem", "funnel", "transition1", "layer1", "transition2", "layer2"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # derived from HRNet-W48's own sums: stem 38,848, bottlenecks 286,208, transitions
        # 332,064 + 166,272, stage 2 878,112, four modules of 10,811,808
        ({"stem": "hrnet", "block": "basic"}, 44_948_736),
        # the funnel stem in place of 38,848 + 286,208
        ({"stem": "funnel", "block": "basic"}, 44_948_736 - 325_056 + 38_726 + 4_032_640),
    ],
)
def test_the_ablation_backbones_have_the_derived_sums(options, expected):
    with torch.device("meta"):
        assert num_params(HiResNet(**options)) == expected


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (50, 77), (33, 35)])
@pytest.mark.parametrize("block", ["ia", "basic"])
def test_maps_are_at_strides_4_8_16_for_any_size(size, block):
    maps = HiResNet(**TINY, block=block)(torch.randn(2, 3, *size))
    expected = []
    h, w = size
    for level, width in enumerate(TINY["widths"]):
        for _ in range(2 if level == 0 else 1):
            h, w = (h + 1) // 2, (w + 1) // 2
        expected.append((2, width, h, w))
    assert [tuple(x.shape) for x in maps] == expected


def test_any_number_of_bands():
    assert HiResNet(12, **TINY)(torch.randn(1, 12, 32, 32))[0].shape == (1, 4, 8, 8)


@pytest.mark.parametrize("stem", ["funnel", "hrnet"])
@pytest.mark.parametrize("block", ["ia", "basic"])
def test_every_parameter_gets_a_gradient(stem, block):
    net = HiResNet(**TINY, stem=stem, block=block)
    sum(x.square().sum() for x in net(torch.randn(2, 3, 48, 48))).backward()
    dead = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a shift before a batch norm, or a norm's shift at the end, may cancel; a weight may not
    assert [n for n in dead if net.get_parameter(n).ndim > 1] == []


def test_recomputing_the_blocks_changes_no_gradient():
    torch.manual_seed(0)
    net = HiResNet(**TINY)
    x = torch.randn(2, 3, 32, 32)
    grads = []
    for with_cp in (False, True):
        net.with_cp = with_cp
        net.zero_grad()
        sum(y.square().sum() for y in net(x)).backward()
        grads.append([p.grad.clone() for p in net.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_attention_paths_give_the_same_features():
    x = torch.randn(1, 3, 40, 56)
    torch.manual_seed(0)
    eager = HiResNet(**TINY, attention_path="eager").eval()
    sdpa = HiResNet(**TINY, attention_path="sdpa").eval()
    sdpa.load_state_dict(eager.state_dict())
    for a, b in zip(eager(x), sdpa(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_initialised_features_neither_vanish_nor_explode():
    torch.manual_seed(0)
    net = HiResNet(widths=(24, 48, 96), stem_channels=16, funnel_channels=32)
    net.init_weights()
    for x in net(torch.randn(2, 3, 64, 64)):
        assert 1e-2 < x.std() < 1e3


def test_stochastic_depth_rises_to_its_rate():
    net = HiResNet(**TINY, drop_path_rate=0.4)
    rates = [
        getattr(block.drop_path, "drop_prob", 0.0)
        for module in (*net.layer1, *net.layer2)
        for block in module.branches[0]
    ]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_bad_options_are_refused():
    for options, message in (
        ({"stem": "resnet"}, "stem must be"),
        ({"block": "swin"}, "block must be"),
        ({"widths": (48, 96)}, r"widths must be 3 numbers >= 1, got \(48, 96\)"),
        ({"num_blocks": (4, 0)}, "num_blocks must be 2 numbers >= 1"),
        ({"widths": (32, 64, 128)}, "multiple of head_dim=24, got 32"),
    ):
        with pytest.raises(ValueError, match=message):
            HiResNet(**options)
