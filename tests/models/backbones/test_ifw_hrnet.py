"""IFWHRNet: stock HRNet at zero flow, the paper's overheads, odd sizes."""

import pytest
import torch
from mmseg.models.backbones import HRNet

from mmrs.models.backbones import IFWHRNet
from mmrs.models.layers.flow_warp import FlowWarp


def extra(width: int, num_blocks: int = 4, num_modules: tuple[int, ...] = (1, 4, 3)) -> dict:
    stages = {
        f"stage{n}": {
            "num_modules": modules,
            "num_branches": n,
            "block": "BASIC",
            "num_blocks": (num_blocks,) * n,
            "num_channels": tuple(width * 2**i for i in range(n)),
        }
        for n, modules in zip((2, 3, 4), num_modules, strict=True)
    }
    stages["stage1"] = {
        "num_modules": 1,
        "num_branches": 1,
        "block": "BOTTLENECK",
        "num_blocks": (num_blocks,),
        "num_channels": (64,),
    }
    return stages


TINY = extra(2, num_blocks=1, num_modules=(1, 1, 2))


def num_params(module):
    return sum(p.numel() for p in module.parameters())


def stock_and_ours(variant="ifwm"):
    torch.manual_seed(0)
    stock, ours = HRNet(TINY), IFWHRNet(TINY, variant=variant)
    for norm in stock.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):  # statistics that a mix-up would show
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    return stock, ours


@pytest.mark.parametrize("variant", ["ifwm", "sf"])
@pytest.mark.parametrize("size", [(64, 64), (49, 71)])
def test_with_stock_weights_it_is_the_stock_hrnet(variant, size):
    stock, ours = stock_and_ours(variant)
    result = ours.load_state_dict(stock.state_dict(), strict=False)
    flows = [name for name, _ in ours.named_parameters() if "flow_warps" in name]
    # 1 + 3 + 2 x 6 upward paths
    assert len(flows) == (16 if variant == "sf" else 32)
    assert sorted(result.missing_keys) == sorted(flows)
    assert result.unexpected_keys == []

    x = torch.randn(2, 3, *size)
    stock.eval(), ours.eval()
    for a, b in zip(stock(x), ours(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * a.abs().max().item())


def test_a_pretrained_file_of_the_stock_hrnet_leaves_the_flows_zero(tmp_path):
    stock, _ = stock_and_ours()
    torch.save(stock.state_dict(), tmp_path / "hrnet.pth")
    checkpoint = str(tmp_path / "hrnet.pth")
    ours = IFWHRNet(TINY, init_cfg={"type": "Pretrained", "checkpoint": checkpoint})
    for module in ours.modules():
        if isinstance(module, FlowWarp):
            torch.nn.init.ones_(module.region_conv.weight)
    ours.init_weights()
    assert torch.equal(ours.conv1.weight, stock.conv1.weight)
    flows = [p for name, p in ours.named_parameters() if "flow_warps" in name]
    assert not any(p.any() for p in flows)


def test_initialisation_leaves_the_flows_zero_and_nothing_else():
    ours = IFWHRNet(TINY)
    ours.init_weights()
    for name, parameter in ours.named_parameters():
        assert ("flow_warps" in name) == (not parameter.any()) or name.endswith("bias"), name


# The paper's k parameters, rounded to thousands. A path of ratio r into C channels takes
# 2 C (1 + (2 r - 1)^2): 20 C, 100 C, 452 C for 2x, 4x, 8x. Stage 2: one module with one 2x into
# C. Stage 3: four of 2x into C and 2 C, 4x into C. Stage 4: three of 2x into C, 2 C, 4 C, 4x into
# C and 2 C, 8x into C. Sum: (20 + 4 (60 + 100) + 3 (140 + 300 + 452)) C = 3336 C.
@pytest.mark.parametrize(("width", "thousands"), [(18, 60), (32, 107), (48, 160)])
def test_overhead_over_hrnet_is_the_papers(width, thousands):
    with torch.device("meta"):
        overhead = num_params(IFWHRNet(extra(width))) - num_params(HRNet(extra(width)))
    assert overhead == 3336 * width
    assert round(overhead / 1e3) == thousands
    assert abs(overhead / 1e3 / thousands - 1) < 0.005


def test_only_stage_4_has_an_eightfold_path():
    with torch.device("meta"):
        kernels = {
            name.partition(".")[0]: {
                flow.region_conv.kernel_size[0]
                for flow in stage.modules()
                if isinstance(flow, FlowWarp)
            }
            for name, stage in IFWHRNet(extra(18)).named_children()
            if name.startswith("stage")
        }
    assert kernels == {"stage2": {3}, "stage3": {3, 7}, "stage4": {3, 7, 15}}


@pytest.mark.parametrize("size", [(33, 35), (50, 77)])
def test_maps_are_at_strides_4_to_32_for_any_size(size):
    maps = IFWHRNet(TINY)(torch.randn(2, 3, *size))
    for level, x in enumerate(maps):
        stride = 4 * 2**level
        expected = tuple(-(-side // stride) for side in size)
        assert x.shape == (2, 2 * 2**level, *expected)


def test_flows_move_the_output_and_the_variants_differ():
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    outputs = []
    for variant in ("ifwm", "rifw", "lsf", "sf"):
        stock, ours = stock_and_ours(variant)
        ours.load_state_dict(stock.state_dict(), strict=False)
        for name, parameter in ours.named_parameters():
            if "flow_warps" in name:
                torch.nn.init.constant_(parameter, 0.2)
        stock.eval(), ours.eval()
        outputs.append(ours(x)[0])
        assert (outputs[-1] - stock(x)[0]).abs().max() > 1e-3
    for i, a in enumerate(outputs):
        assert all((a - b).abs().max() > 1e-4 for b in outputs[:i])


def test_every_weight_gets_a_gradient_at_zero_flow():
    net = IFWHRNet(TINY)
    sum(x.square().sum() for x in net(torch.randn(2, 3, 64, 64))).backward()
    dead = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [n for n in dead if net.get_parameter(n).ndim > 1] == []


def test_modes_return_the_module():
    net = IFWHRNet(TINY)
    assert net.eval() is net and not net.training
    assert net.train() is net and net.training
    net = IFWHRNet(TINY, norm_eval=True).train()
    assert not net.bn1.training


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant must be one of"):
        IFWHRNet(TINY, variant="flow")


def test_frozen_stages_keep_their_flows_trainable_unless_these_are_frozen_by_hand():
    model = IFWHRNet(TINY, frozen_stages=3)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    flows = {name for name, _ in model.named_parameters() if "flow_warps" in name}
    assert flows <= trainable
    assert not any(name.startswith("stage2") for name in trainable - flows)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(False) if name in flows else None
    model.train()
    assert not any(p.requires_grad for name, p in model.named_parameters() if name in flows)
