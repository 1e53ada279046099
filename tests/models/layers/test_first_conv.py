"""Weights of three bands in networks of N: every backbone, however it loads them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from mmrs.models.layers.first_conv import first_convs, inflate_on_load, inflate_state_dict

NORM = {"type": "BN"}
HRNET = {
    f"stage{i + 1}": {
        "num_modules": 1, "num_branches": i + 1, "block": "BOTTLENECK" if i == 0 else "BASIC",
        "num_blocks": (1,) * (i + 1),
        "num_channels": (8,) if i == 0 else tuple(4 * 2**j for j in range(i + 1)),
    }
    for i in range(4)
}  # fmt: skip
BACKBONES: dict[str, dict[str, Any]] = {
    "ResNet": {"type": "ResNet", "depth": 18, "base_channels": 8, "norm_cfg": NORM},
    "ResNetV1c": {"type": "ResNetV1c", "depth": 18, "stem_channels": 8, "base_channels": 8,
                  "norm_cfg": NORM},
    "HRNet": {"type": "HRNet", "extra": HRNET, "norm_cfg": NORM},
    "Swin": {"type": "SwinTransformer", "embed_dims": 12, "depths": (1, 1), "num_heads": (1, 2),
             "strides": (4, 2), "out_indices": (0, 1), "window_size": 2},
    "UNet": {"type": "UNet", "base_channels": 4, "norm_cfg": NORM},
    "DilatedResNet": {"type": "mmrs.DilatedResNet", "depth": 18, "base_channels": 8,
                      "norm_cfg": NORM},
    "IFWHRNet": {"type": "mmrs.IFWHRNet", "extra": HRNET, "norm_cfg": NORM},
    "RMNetEncoder": {"type": "mmrs.RMNetEncoder", "base_channels": 8},
    "HiResNet": {"type": "mmrs.HiResNet", "widths": (8, 16, 32), "funnel_channels": 8,
                 "stem_channels": 8, "head_dim": 8, "num_funnel_blocks": 1, "num_modules": (1, 1),
                 "num_blocks": (1, 1), "window_size": 4},
}  # fmt: skip


def build(name: str, in_channels: int, **options: Any) -> nn.Module:
    init_default_scope("mmseg")
    torch.manual_seed(0)
    return MODELS.build({**copy.deepcopy(BACKBONES[name]), "in_channels": in_channels, **options})


def test_the_line_says_which_rule_was_followed() -> None:
    """Of five bands for two nothing says which are known, unless it is told."""
    conv = nn.Sequential(nn.Conv2d(2, 1, 1, bias=False))
    weight = torch.arange(5.0).view(1, 5, 1, 1)
    (line,) = inflate_state_dict({"0.weight": weight}, conv)
    assert line.endswith(
        "of 5 bands are inflated to 2: nothing says which of them, so each gets the mean, all "
        "times 5/2"
    )
    (line,) = inflate_state_dict({"0.weight": weight}, conv, source_bands=(3, None))
    assert line.endswith(
        "to 2: known bands keep theirs (3 none), further ones get the mean, all times 5/2"
    )


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_takes_four_bands_and_loads_weights_of_three(name: str, tmp_path: Path) -> None:
    source = build(name, 3)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "rgb.pth")
    pretrained = {"type": "Pretrained", "checkpoint": str(tmp_path / "rgb.pth")}
    model = build(name, 4, init_cfg=pretrained)
    told: list[str] = []
    inflate_on_load(model, tell=told.append)
    model.init_weights()
    convs = [c for c in first_convs(model) if source.state_dict()[f"{c}.weight"].shape[1] == 3]
    if name == "RMNetEncoder":
        # it loads by names, inflates by itself, and has its own line in the log
        told = [f"{conv}.weight: weights of 3 bands are inflated to 4" for conv in convs]
    assert len(convs) == 1
    for conv, line in zip(convs, told, strict=True):
        weight = model.state_dict()[f"{conv}.weight"]
        rgb = source.state_dict()[f"{conv}.weight"]
        torch.testing.assert_close(weight[:, :3], rgb * 0.75)
        torch.testing.assert_close(weight[:, 3], rgb.mean(dim=1) * 0.75)
        assert line.startswith(f"{conv}.weight: weights of 3 bands are inflated to 4")
    # a grey image meets the same network; the first normalisation of some sees the bands
    if not any(isinstance(m, nn.BatchNorm2d) and m.num_features == 4 for m in model.modules()):
        grey = torch.rand(1, 1, 64, 64)
        model.eval(), source.eval()  # some of MMSegmentation's return None
        with torch.no_grad():
            found = model(grey.expand(1, 4, -1, -1))
            expected = source(grey.expand(1, 3, -1, -1))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("in_channels", [1, 12])
def test_other_numbers_of_bands_run_forward_and_backward(in_channels: int) -> None:
    for name in ("DilatedResNet", "RMNetEncoder", "HiResNet"):
        model = build(name, in_channels)
        maps = model(torch.rand(2, in_channels, 64, 64))
        sum(m.sum() for m in maps).backward()
        assert next(iter(first_convs(model).values())).weight.grad.abs().sum() > 0


def net(bands: int, kernel: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(bands, 6, kernel), nn.Conv2d(6, 6, 3), nn.Conv2d(6, bands, 1))


def test_only_input_channels_of_first_convolutions_are_inflated() -> None:
    state = {f"module.{key}": value for key, value in net(3).state_dict().items()}
    told = inflate_state_dict(state, net(5))
    assert len(told) == 1 and told[0].startswith("0.weight: weights of 3 bands")
    assert state["module.0.weight"].shape == (6, 5, 3, 3)
    assert state["module.2.weight"].shape == (3, 6, 1, 1)  # the last one differs in more
    # another kernel is another layer
    state = dict(net(3, kernel=5).state_dict())
    assert inflate_state_dict(state, net(5)) == [] and state["0.weight"].shape[1] == 3
    assert inflate_state_dict(dict(net(5).state_dict()), net(5)) == []


def test_named_bands_choose_their_filters() -> None:
    source = net(3)
    state = dict(source.state_dict())
    inflate_state_dict(state, net(4), source_bands=[None, 0, 1, 2])
    torch.testing.assert_close(state["0.weight"][:, 1:], source[0].weight.detach() * 0.75)
    # names of bands that these weights have not say nothing
    state = {"0.weight": source[0].weight[:, :1].detach()}
    inflate_state_dict(state, net(4), source_bands=[None, 0, 1, 2])
    assert state["0.weight"].shape[1] == 4


def test_depthwise_first_layers_are_left_alone() -> None:
    assert first_convs(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1))) == {}
    assert first_convs(nn.Linear(2, 2)) == {}


def test_a_segmentors_backbone_is_what_counts_and_a_copy_still_inflates() -> None:
    model = nn.ModuleDict({"head": nn.Conv2d(9, 2, 1)})
    model.backbone = net(4)
    assert list(first_convs(model)) == ["backbone.0"]
    told: list[str] = []
    inflate_on_load(model, tell=told.append)
    twin = copy.deepcopy(model)
    source = nn.ModuleDict({"head": nn.Conv2d(9, 2, 1)})
    source.backbone = nn.Sequential(nn.Conv2d(3, 6, 3), *list(net(4))[1:])
    twin.load_state_dict(source.state_dict())
    assert twin.backbone[0].weight.shape[1] == 4
