"""DilatedSPP: what each path sees, sizes, parameters, refusals."""

import pytest
import torch

from mmrs.errors import ConfigError
from mmrs.models.necks import DilatedSPP


def num_params(module):
    return sum(p.numel() for p in module.parameters())


def test_the_full_neck_has_the_papers_parameters():
    # four 3x3 2048 -> 256 and a 1x1 1024 -> 256 without bias, a batch norm (2 x 256) after each
    with torch.device("meta"):
        neck = DilatedSPP(2048)
    assert num_params(neck) == 4 * (2048 * 256 * 9 + 512) + 1024 * 256 + 512


def test_a_single_pixel_reaches_what_its_rates_say():
    neck = DilatedSPP(1, 2, dilations=(1, 3)).eval()
    for parameter in neck.parameters():
        torch.nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 11, 11)
    baseline = neck([x])[0]
    x[0, 0, 5, 5] = 1
    seen = {(int(y) - 5, int(c) - 5) for _, _, y, c in (neck([x])[0] - baseline).nonzero()}
    assert seen == {(y * r, c * r) for r in (1, 3) for y in (-1, 0, 1) for c in (-1, 0, 1)}


def test_the_output_is_the_sum_of_the_papers_steps():
    neck = DilatedSPP(3, 4, dilations=(1, 2)).eval()
    x = torch.randn(1, 3, 6, 7)
    paths = []
    for path, rate in zip(neck.paths, (1, 2), strict=True):
        conv = torch.nn.functional.conv2d(x, path[0].weight, padding=rate, dilation=rate)
        paths.append((conv / (1 + path[1].eps) ** 0.5).relu())  # a fresh batch norm
    fused = torch.nn.functional.conv2d(torch.cat(paths, 1), neck.fuse[0].weight)
    expected = (fused / (1 + neck.fuse[1].eps) ** 0.5).relu()
    torch.testing.assert_close(neck([x])[0], expected)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (32, 3)])
def test_one_map_of_any_size_comes_out_alone(size):
    neck = DilatedSPP(3, 4).eval()
    out = neck((torch.randn(2, 9, 8, 8), torch.randn(2, 3, *size)))
    assert isinstance(out, tuple) and len(out) == 1
    assert out[0].shape == (2, 4, *size)


def test_in_index_chooses_the_map():
    maps = [torch.randn(1, 3, 4, 4), torch.randn(1, 3, 2, 2)]
    for index, side in ((0, 4), (1, 2), (-1, 2), (-2, 4)):
        assert DilatedSPP(3, 4, in_index=index).eval()(maps)[0].shape[-1] == side


def test_every_weight_learns_and_starts_by_kaiming():
    neck = DilatedSPP(6, 4, dilations=(1, 2, 3))
    neck.init_weights()
    # He et al.: variance 2 / fan_out for a ReLU
    assert float(neck.paths[0][0].weight.detach().std()) == pytest.approx(
        (2 / (4 * 9)) ** 0.5, rel=0.2
    )
    neck([torch.randn(2, 6, 9, 9)])[0].square().sum().backward()
    assert [n for n, p in neck.named_parameters() if not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(
    "change",
    [
        {"dilations": (1, 2)},
        {"dilations": (1, 2, 4)},
        {"act_cfg": {"type": "GELU"}},
        {"norm_cfg": {"type": "GN", "num_groups": 2}},
    ],
)
def test_every_option_changes_the_output(change):
    def run(**options):
        neck = DilatedSPP(3, 4, **{"dilations": (1, 2, 3), **options}).eval()
        for i, (_, p) in enumerate(sorted(neck.named_parameters())):
            torch.nn.init.normal_(p, std=0.3, generator=torch.Generator().manual_seed(i))
        return neck([torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(9))])[0]

    assert not torch.allclose(run(), run(**change), atol=1e-4)


def test_wrong_input_is_told_in_one_line():
    with pytest.raises(ConfigError, match="in_channels is 3, but map -1 has 4 channels"):
        DilatedSPP(3, 4)([torch.randn(1, 4, 4, 4)])
    with pytest.raises(ConfigError, match="in_index is 3, but the backbone gives 2 maps"):
        DilatedSPP(3, 4, in_index=3)([torch.randn(1, 3, 4, 4)] * 2)
    for dilations in ((), (1, 0)):
        with pytest.raises(ValueError, match="dilations must be one or more numbers >= 1"):
            DilatedSPP(3, 4, dilations=dilations)
