"""What holds for every loss of mmrs, called as MMSeg calls a loss."""

import pytest
import torch
from mmseg.registry import MODELS

import mmrs.registry  # noqa: F401
from tests.models.losses.cases import as_float64, random_case

LOSSES = {
    "gd": {"type": "mmrs.GeneralizedDiceLoss"},
    "gd_image": {"type": "mmrs.GeneralizedDiceLoss", "sums_over": "image"},
    "lsce": {"type": "mmrs.LabelSmoothingCrossEntropyLoss"},
    "lsce_weighted": {
        "type": "mmrs.LabelSmoothingCrossEntropyLoss",
        "class_weight": [1.0, 2.0, 0.5, 3.0],
    },
    "cea_one": {"type": "mmrs.ClassAgnosticEdgeAwareLoss"},
    "cea_all": {"type": "mmrs.ClassAgnosticEdgeAwareLoss", "classes": "all"},
    "dice_focal": {"type": "mmrs.DiceFocalLoss"},
    "dice_focal_literal": {"type": "mmrs.DiceFocalLoss", "focal": "literal", "classes": "present"},
    "joint": {"type": "mmrs.JointLoss"},
    "joint_random": {"type": "mmrs.JointLoss", "weighting": "random"},
}


@pytest.fixture(params=LOSSES)
def loss_cfg(request):
    return LOSSES[request.param]


def build(cfg, **changes):
    return MODELS.build({**cfg, **changes})


def test_changing_an_ignored_pixel_changes_neither_loss_nor_gradient(loss_cfg):
    logits, target = random_case()
    ignored = (target == 255)[:, None].expand_as(logits)
    other = torch.where(ignored, torch.full_like(logits, 37.0), logits)
    other[0][ignored[0]] = -5.0
    results = []
    for z in (logits, other):
        z = z.clone().requires_grad_()
        value = build(loss_cfg)(z, target)
        value.backward()
        results.append((value.detach(), z.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1][~ignored], results[1][1][~ignored])
    assert (results[1][1][ignored] == 0).all()
    assert results[0][1][~ignored].abs().sum() > 0


def test_inf_and_nan_on_ignored_pixels_do_not_leak(loss_cfg):
    logits, target = random_case()
    ignored = (target == 255)[:, None].expand_as(logits)
    broken = torch.where(ignored, torch.tensor(float("nan")), logits)
    broken[0][ignored[0]] = float("inf")
    broken.requires_grad_()
    value = build(loss_cfg)(broken, target)
    value.backward()
    assert torch.equal(value, build(loss_cfg)(logits, target))
    assert broken.grad.isfinite().all()


def test_all_ignored_gives_a_finite_zero_with_a_gradient(loss_cfg):
    logits, target = random_case()
    logits.requires_grad_()
    value = build(loss_cfg)(logits, torch.full_like(target, 255))
    assert value.item() == 0
    value.backward()
    assert (logits.grad == 0).all()


def test_another_ignore_index_is_honoured(loss_cfg):
    logits, target = random_case()
    renamed = torch.where(target == 255, 77, target)
    assert torch.equal(
        build(loss_cfg)(logits, target), build(loss_cfg)(logits, renamed, ignore_index=77)
    )


def test_a_real_class_can_be_the_ignored_one(loss_cfg):
    logits, target = random_case(ignored=0.0)
    assert (target == 2).any()
    assert torch.equal(
        build(loss_cfg)(logits, torch.where(target == 2, 255, target)),
        build(loss_cfg)(logits, target, ignore_index=2),
    )


def test_weight_of_one_is_no_weight_and_weight_zero_silences(loss_cfg):
    logits, target = random_case()
    ones = torch.ones(target.shape)
    plain = build(loss_cfg)(logits, target)
    torch.testing.assert_close(build(loss_cfg)(logits, target, weight=ones), plain)
    assert build(loss_cfg)(logits, target, weight=0 * ones).item() == 0
    half = ones.clone()
    half[:, ::2] = 0.25
    assert not torch.isclose(build(loss_cfg)(logits, target, weight=half), plain)


def test_a_perfect_prediction_costs_less_than_a_wrong_one_and_gradients_point_there(loss_cfg):
    _, target = random_case(ignored=0.1)
    truth = torch.where(target == 255, 0, target)
    one_hot = torch.nn.functional.one_hot(truth, 4).permute(0, 3, 1, 2).float()
    perfect = build(loss_cfg)(30 * one_hot, target)
    wrong = build(loss_cfg)(30 * one_hot.roll(1, dims=1), target)
    assert perfect < 0.2 * wrong
    z = torch.zeros_like(one_hot, requires_grad=True)
    before = build(loss_cfg)(z, target)
    before.backward()
    assert build(loss_cfg)(z - 1e-2 * z.grad / z.grad.abs().max(), target) < before


def test_a_class_absent_from_the_crop_is_no_trouble(loss_cfg):
    logits, target = random_case()
    target[target == 3] = 0
    logits.requires_grad_()
    value = build(loss_cfg)(logits, target)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_extreme_half_precision_logits_are_computed_in_float32(loss_cfg, dtype):
    logits, target = random_case()
    logits = (6e4 * logits.sign()).to(dtype).requires_grad_()
    value = build(loss_cfg)(logits, target)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite() and logits.grad.isfinite().all()


def test_gradcheck(loss_cfg):
    logits, target = random_case(size=(4, 5))
    # away from the jump of S = [P > 0.5], which carries no gradient
    loss = build(loss_cfg)

    def value(z):
        if hasattr(loss, "step"):
            for module in loss.modules():
                if hasattr(module, "step"):
                    module.step.zero_()  # the same draw at every evaluation
        return loss(z, target)

    assert torch.autograd.gradcheck(value, (as_float64(logits),), eps=1e-5, atol=1e-5)


def test_loss_weight_scales_and_loss_name_is_kept(loss_cfg):
    logits, target = random_case()
    plain = build(loss_cfg)(logits, target)
    torch.testing.assert_close(build(loss_cfg, loss_weight=2.5)(logits, target), 2.5 * plain)
    assert build(loss_cfg).loss_name.startswith("loss_")
    assert build(loss_cfg, loss_name="loss_x").loss_name == "loss_x"


@pytest.mark.filterwarnings("ignore:``build_pixel_sampler`` would be deprecated")
def test_it_trains_a_stock_mmseg_head(loss_cfg):
    """`weight`, `ignore_index` and keywords as BaseDecodeHead passes them."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    head = MODELS.build(
        {
            "type": "FCNHead",
            "in_channels": 6,
            "channels": 4,
            "num_convs": 1,
            "num_classes": 4,
            "norm_cfg": {"type": "BN"},
            "sampler": {"type": "OHEMPixelSampler", "thresh": 0.7, "min_kept": 10},
            "loss_decode": loss_cfg,
        }
    )
    _, target = random_case()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=t[None])) for t in target]
    losses = head.loss([torch.randn(2, 6, 5, 6)], samples, None)
    name = head.loss_decode.loss_name
    losses[name].backward()
    assert head.conv_seg.weight.grad.abs().sum() > 0


def test_float32_agrees_with_float64_on_a_whole_batch_of_pixels(loss_cfg):
    generator = torch.Generator().manual_seed(3)
    target = torch.randint(0, 2, (1, 1, 8, 8), generator=generator).float()
    target = torch.nn.functional.interpolate(target, (1024, 1024))[:, 0].long()
    logits = 4.0 * torch.nn.functional.one_hot(target, 4).movedim(-1, 1).float()
    logits += 0.1 * torch.randn(logits.shape, generator=generator)
    double = build(loss_cfg)(logits.double(), target).item()
    assert abs(build(loss_cfg)(logits, target).item() - double) < 1e-5 + 1e-3 * double
