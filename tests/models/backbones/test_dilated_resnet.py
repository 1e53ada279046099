"""Both convolutions of a basic block dilated, at ResNet's own weights."""

import pytest
import torch
from mmseg.models.backbones import ResNet
from mmseg.models.backbones.resnet import BasicBlock

from mmrs.models.backbones.dilated_resnet import DilatedResNet

STRIDE_16 = {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)}


def make(cls: type, depth: int, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    options = {"stem_channels": 4, "base_channels": 4, "norm_cfg": {"type": "BN"}, **options}
    model = cls(depth, **options)
    model.eval()  # upstream's returns None
    return model


def randomize_norms(model: torch.nn.Module) -> None:
    """Statistics of a trained network, so that no residual path is silent."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))


@pytest.mark.parametrize("depth", [18, 34])
@pytest.mark.parametrize("contract", [False, True])
def test_every_convolution_of_the_last_stage_is_dilated(depth, contract):
    model = make(DilatedResNet, depth, contract_dilation=contract, **STRIDE_16)
    for index, block in enumerate(model.layer4):
        assert isinstance(block, BasicBlock)
        # with contract_dilation, the convolution that held the stride reads its input undilated
        first = 1 if contract and index == 0 else 2
        assert block.conv1.dilation == block.conv1.padding == (first, first)
        assert block.conv2.dilation == block.conv2.padding == (2, 2)
    for layer in (model.layer1, model.layer2, model.layer3):
        assert {conv.dilation for block in layer for conv in (block.conv1, block.conv2)} == {(1, 1)}


@pytest.mark.parametrize("depth", [34, 50])
@pytest.mark.parametrize("size", [(64, 64), (33, 70)])
def test_dilated_network_is_the_strided_one_at_every_second_pixel(depth, size):
    strided = make(ResNet, depth)
    randomize_norms(strided)
    dilated = make(DilatedResNet, depth, contract_dilation=True, **STRIDE_16)
    dilated.load_state_dict(strided.state_dict())
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected, result = strided(image)[3], dilated(image)[3]
    assert result.shape[-2:] == tuple(-(-n // 16) for n in size)
    torch.testing.assert_close(result[..., ::2, ::2], expected, rtol=1e-4, atol=1e-4)


def test_stock_dilated_network_is_not():
    # what the class is for: with one dilated convolution a block, the weights see other pixels
    strided = make(ResNet, 34)
    randomize_norms(strided)
    stock = make(ResNet, 34, contract_dilation=True, **STRIDE_16)
    stock.load_state_dict(strided.state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        difference = stock(image)[3][..., ::2, ::2] - strided(image)[3]
    assert difference.abs().max() > 0.1


def test_receptive_field_of_the_last_stage_is_wider_than_the_stock_ones():
    # from layer3's map through layer4's six 3x3: 1 + 2 * (sum of dilations) pixels a side
    def side(cls: type) -> int:
        layer = make(cls, 34, contract_dilation=True, **STRIDE_16).layer4
        x = torch.zeros(1, 16, 41, 41, requires_grad=True)
        for block in layer:
            torch.nn.init.constant_(block.norm1.weight, 1)
            torch.nn.init.constant_(block.norm2.weight, 1)
            for conv in (block.conv1, block.conv2):
                torch.nn.init.constant_(conv.weight, 1e-2)
        layer(x + 1)[0, 0, 20, 20].backward()
        return int((x.grad[0, 0, 20] != 0).nonzero().max() - 20) * 2 + 1

    assert side(ResNet) == 1 + 2 * (1 + 1 + 2 + 1 + 2 + 1)
    assert side(DilatedResNet) == 1 + 2 * (1 + 2 + 2 + 2 + 2 + 2)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_weights_are_named_and_shaped_as_the_stock_ones(depth):
    with torch.device("meta"):
        stock, ours = ResNet(depth), DilatedResNet(depth, **STRIDE_16)
    names = {key: value.shape for key, value in stock.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == names


def test_multi_grid_dilates_both_convolutions_of_its_blocks():
    model = make(DilatedResNet, 34, multi_grid=(1, 2, 4), **STRIDE_16)
    assert [(b.conv1.dilation[0], b.conv2.dilation[0]) for b in model.layer4] == [
        (1, 1),
        (2, 2),
        (4, 4),
    ]


def test_last_norm_of_a_residual_starts_at_zero_as_in_the_stock_class():
    model = make(DilatedResNet, 18, **STRIDE_16)
    model.init_weights()
    assert all((block.norm2.weight == 0).all() for block in model.layer4)


def test_unknown_depth_is_told_in_one_line():
    with pytest.raises(ValueError, match=r"depth must be one of \[18, 34, 50, 101, 152\], got 42"):
        DilatedResNet(42)
