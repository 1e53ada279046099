"""Blocks of Hi-ResNet: parameter sums of the paper, shapes, identities."""

import pytest
import torch

from mmrs.models.layers.conv_unit import conv_unit
from mmrs.models.layers.information_aggregation import InformationAggregation
from mmrs.models.layers.inverted_bottleneck import InvertedBottleneck
from mmrs.models.layers.multi_resolution import Fusion, MultiResolutionModule
from mmrs.models.layers.squeeze_excitation import SqueezeExcitation

BN = {"type": "BN"}
GELU = {"type": "GELU"}


def num_params(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("channels", "expected"), [(48, 15_456), (96, 58_560), (192, 227_712)])
def test_information_aggregation_has_6c2_plus_34c_parameters(channels, expected):
    assert expected == 6 * channels**2 + 34 * channels
    assert num_params(InformationAggregation(channels, norm_cfg=BN)) == expected


def test_inverted_bottleneck_has_the_papers_parameters():
    assert num_params(InvertedBottleneck(64, 256, norm_cfg=BN)) == 688_768
    assert num_params(InvertedBottleneck(256, 256, norm_cfg=BN)) == 1_114_624


def test_fusion_of_layer_1_has_the_papers_parameters():
    # BN + 1x1 of 96 -> 48, BN + 3x3 of 48 -> 96
    expected = 192 + 96 * 48 + 96 + 9 * 48 * 96
    fusion = Fusion((48, 96), norm_cfg=BN, act_cfg=GELU, pre_norm=True)
    assert num_params(fusion) == expected == 342_432 - 4 * 15_456 - 4 * 58_560


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (1, 3)])
def test_an_information_aggregation_block_keeps_any_size(size):
    block = InformationAggregation(8, head_dim=4, window_size=4, norm_cfg=BN)
    assert block(torch.randn(2, 8, *size)).shape == (2, 8, *size)


def test_a_block_whose_last_projection_is_zero_is_the_identity():
    x = torch.randn(1, 8, 6, 6)
    aggregation = InformationAggregation(8, head_dim=4, norm_cfg=BN)
    torch.nn.init.zeros_(aggregation.project.weight)
    assert torch.equal(aggregation(x), x)
    bottleneck = InvertedBottleneck(8, 8, norm_cfg=BN)
    torch.nn.init.zeros_(bottleneck.reduce.weight)
    assert torch.equal(bottleneck(x), x)


@pytest.mark.parametrize(
    "change",
    [
        {"window_size": 2},
        {"window_layout": "grid"},
        {"head_dim": 2},
        {"dw_kernel_size": 3},
        {"se_ratio": 2},
        {"out_projection": True},
    ],
)
def test_every_option_of_the_block_changes_its_output(change):
    def run(**options):
        torch.manual_seed(0)
        block = InformationAggregation(
            8, **{"head_dim": 4, "window_size": 4, **options}, norm_cfg=BN
        )
        # one fixed number a parameter, whatever their order of construction
        for i, (_, p) in enumerate(sorted(block.named_parameters())):
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.5, generator=torch.Generator().manual_seed(i))
        return block.eval()(torch.randn(1, 8, 12, 12, generator=torch.Generator().manual_seed(9)))

    assert not torch.allclose(run(), run(**change), atol=1e-4)


def test_stochastic_depth_skips_whole_samples_only_in_training():
    block = InformationAggregation(8, head_dim=4, drop_path_rate=0.5, norm_cfg=BN)
    x = torch.randn(64, 8, 4, 4)
    skipped = (block(x) == x).flatten(1).all(1)
    assert 10 < skipped.sum() < 54
    block.eval()
    assert not (block(x) == x).flatten(1).all(1).any()


def test_gates_are_between_zero_and_one_and_depend_on_the_mean():
    se = SqueezeExcitation(6)
    x = torch.rand(2, 6, 5, 5) + 0.1
    ratio = se(x) / x
    assert (ratio > 0).all() and (ratio < 1).all()
    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    assert not torch.allclose(se(x + 1) / (x + 1), ratio)


def test_upward_paths_commute_with_the_resize():
    """Convolving before the bilinear step, the cheap order, equals convolving after it."""
    unit = conv_unit(6, 3, 1, norm_cfg=BN, pre_norm=True).eval()
    x = torch.randn(1, 6, 5, 7)

    def resize(y):
        return torch.nn.functional.interpolate(y, (10, 14), mode="bilinear", align_corners=False)

    torch.testing.assert_close(resize(unit(x)), unit(resize(x)))


@pytest.mark.parametrize("pre_norm", [True, False])
def test_fusion_sums_every_branch_into_every_other(pre_norm):
    fusion = Fusion((4, 6, 8), norm_cfg=BN, act_cfg=GELU, pre_norm=pre_norm)
    branches = [
        torch.randn(2, c, *s) for c, s in zip((4, 6, 8), ((9, 12), (5, 6), (3, 3)), strict=True)
    ]
    for x in branches:
        x.requires_grad_()
    out = fusion(branches)
    assert [y.shape for y in out] == [x.shape for x in branches]
    for y in out:
        grads = torch.autograd.grad(y.square().sum(), branches, retain_graph=True)
        assert all(g.abs().sum() > 0 for g in grads)


def test_without_the_other_paths_fusion_is_its_activation():
    fusion = Fusion((4, 6), norm_cfg=BN, act_cfg=GELU, pre_norm=True)
    for path in fusion.paths.values():
        for p in path.parameters():
            torch.nn.init.zeros_(p)
    branches = [torch.randn(1, 4, 4, 4), torch.randn(1, 6, 2, 2)]
    for x, y in zip(branches, fusion(branches), strict=True):
        torch.testing.assert_close(y, torch.nn.functional.gelu(x))


def test_the_order_of_normalisation_decides_its_width():
    assert conv_unit(4, 6, 1, norm_cfg=BN, pre_norm=True)[0].num_features == 4
    assert conv_unit(4, 6, 1, norm_cfg=BN, pre_norm=False)[1].num_features == 6


def test_a_module_runs_its_blocks_before_the_fusion():
    calls = []

    class Spy(torch.nn.Identity):
        def forward(self, x):
            calls.append(x.shape[1])
            return x

    module = MultiResolutionModule(
        (4, 6),
        block_indices=range(3),
        build_block=lambda width, index: Spy(),
        norm_cfg=BN,
        act_cfg=GELU,
        pre_norm=True,
    )
    module.fusion.register_forward_hook(lambda *_: calls.append("fusion"))
    module([torch.randn(1, 4, 4, 4), torch.randn(1, 6, 2, 2)])
    assert calls == [4, 4, 4, 6, 6, 6, "fusion"]


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="multiple of head_dim=24, got 32"):
        InformationAggregation(32, norm_cfg=BN)
    with pytest.raises(ValueError, match="dw_kernel_size must be odd, got 4"):
        InformationAggregation(24, dw_kernel_size=4, norm_cfg=BN)
    with pytest.raises(ValueError, match="ratio must be in"):
        SqueezeExcitation(4, ratio=8)
