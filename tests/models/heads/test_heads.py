"""CoarseHead and RefinementHead: parameter sums, the two outputs, their losses."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmrs.models.heads import CoarseHead, RefinementHead

CHANNELS = (4, 8, 12)
TINY = {
    "in_channels": CHANNELS,
    "coarse_channels": 8,
    "channels": 8,
    "key_channels": 4,
    "dilations": (1, 2, 3),
    "num_classes": 5,
    "loss_decode": {"type": "mmrs.JointLoss"},
}


def num_params(module):
    return sum(p.numel() for p in module.parameters())


def feature_maps(b=2):
    generator = torch.Generator().manual_seed(3)
    sizes = ((12, 16), (6, 8), (3, 4))
    return [
        torch.randn(b, c, *s, generator=generator) for c, s in zip(CHANNELS, sizes, strict=True)
    ]


def samples(size=(48, 64), b=2):
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(0, 5, (b, 1, *size), generator=generator)
    labels[:, :, :5] = 255
    return [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]


def test_the_coarse_head_has_the_papers_parameters():
    head = CoarseHead((48, 96, 192), num_classes=7)
    assert num_params(head) == 1_553_408


def test_the_refinement_adds_exactly_3_683_200_parameters():
    head = RefinementHead((48, 96, 192), num_classes=7)
    assert num_params(head.coarse) + num_params(head.coarse_seg) == 1_553_408
    assert num_params(head) - 1_553_408 == 3_683_200


def test_the_output_is_the_sum_of_both_at_the_size_of_the_first_map():
    head = RefinementHead(**TINY).eval()
    coarse, refined = head.forward_both(feature_maps())
    assert coarse.shape == refined.shape == (2, 5, 12, 16)
    torch.testing.assert_close(head(feature_maps()), coarse + refined)


def test_the_refined_logits_depend_on_the_coarse_segmentation():
    head = RefinementHead(**TINY).eval()
    _, before = head.forward_both(feature_maps())
    torch.nn.init.normal_(head.coarse_seg.weight, std=5.0)
    _, after = head.forward_both(feature_maps())
    assert not torch.allclose(before, after, atol=1e-5)


def test_both_outputs_are_supervised_and_the_ratio_scales_them():
    torch.manual_seed(0)
    head = RefinementHead(**TINY, dropout_ratio=0)
    plain = head.loss(feature_maps(), samples(), {})
    names = {
        f"{out}_loss_{term}" for out in ("coarse", "refined") for term in ("gd", "lsce", "cea")
    }
    assert set(plain) == names | {"acc_seg"}
    head.coarse_loss_weight, head.refined_loss_weight = 0.4, 2.0
    head.loss_decode.losses[2].step.zero_()
    scaled = head.loss(feature_maps(), samples(), {})
    for name in names:
        factor = 0.4 if name.startswith("coarse") else 2.0
        torch.testing.assert_close(scaled[name], factor * plain[name])


def test_every_weight_learns_and_each_loss_reaches_its_own_classifier():
    head = RefinementHead(**TINY, dropout_ratio=0)
    losses = head.loss(feature_maps(), samples(), {})
    coarse = sum(v for k, v in losses.items() if k.startswith("coarse"))
    grads = torch.autograd.grad(
        coarse, [head.coarse_seg.weight, head.conv_seg.weight], allow_unused=True, retain_graph=True
    )
    assert grads[0].abs().sum() > 0 and grads[1] is None
    sum(v for k, v in losses.items() if "loss" in k).backward()
    assert [
        n for n, p in head.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0
    ] == []


def test_coarse_and_refined_share_the_drawn_class():
    class Spy(torch.nn.Module):
        loss_name = "loss_spy"

        def __init__(self):
            super().__init__()
            self.draws, self.seen = 0, []

        def draw(self, target, num_classes, ignore_index):
            self.draws += 1
            return {"class_index": torch.tensor(self.draws)}

        def forward(self, logits, target, weight=None, ignore_index=255, *, class_index):
            self.seen.append(int(class_index))
            return logits.sum() * 0

    head = RefinementHead(**TINY)
    head.loss_decode = Spy()
    head.loss(feature_maps(), samples(), {})
    head.loss(feature_maps(), samples(), {})
    assert head.loss_decode.seen == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "loss_decode",
    [
        {"type": "CrossEntropyLoss", "avg_non_ignore": True},
        [
            {"type": "CrossEntropyLoss", "loss_name": "loss_ce", "avg_non_ignore": True},
            {"type": "mmrs.ClassAgnosticEdgeAwareLoss", "loss_weight": 0.2},
        ],
    ],
)
def test_stock_losses_and_lists_of_losses_work(loss_decode):
    head = RefinementHead(**{**TINY, "loss_decode": loss_decode})
    losses = head.loss(feature_maps(), samples(), {})
    assert losses["coarse_loss_ce"].isfinite() and losses["refined_loss_ce"].isfinite()


@pytest.mark.parametrize("head_type", [CoarseHead, RefinementHead])
def test_one_map_or_four_maps_of_any_backbone(head_type):
    for channels in ((6,), (3, 4, 5, 6)):
        head = head_type(channels, in_index=tuple(range(len(channels))), channels=8, num_classes=3)
        maps = [torch.randn(2, c, 16 >> i, 24 >> i) for i, c in enumerate(channels)]
        assert head(maps).shape == (2, 3, 16, 24)


@pytest.mark.parametrize(
    "change",
    [
        {"coarse_channels": 6},
        {"channels": 6},
        {"key_channels": 2},
        {"dilations": (1, 2)},
        {"dilations": (2, 3, 4)},
        {"act_cfg": {"type": "GELU"}},
    ],
)
def test_every_option_of_the_refinement_changes_its_output(change):
    def run(**options):
        head = RefinementHead(**{**TINY, **options}).eval()
        for i, (_, p) in enumerate(sorted(head.named_parameters())):
            torch.nn.init.normal_(p, std=0.3, generator=torch.Generator().manual_seed(i))
        return head(feature_maps())

    assert not torch.allclose(run(), run(**change), atol=1e-4)
