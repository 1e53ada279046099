"""SubPixelHead: index arithmetic, the nearest-neighbour start, MMSeg's whole contract."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmrs.errors import ConfigError
from mmrs.models.heads import SubPixelHead
from mmrs.models.layers.sub_pixel_conv import SubPixelConv

TINY = {"in_channels": 5, "num_classes": 3, "upscale_factor": 4}


def a_map(h=3, w=5, channels=5):
    return [torch.randn(2, channels, h, w, generator=torch.Generator().manual_seed(1))]


def samples(size, num_classes=3):
    labels = torch.randint(
        0, num_classes, (2, 1, *size), generator=torch.Generator().manual_seed(2)
    )
    labels[..., 0] = 255
    return [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]


def test_every_logit_is_its_own_filter_at_its_cell():
    head = SubPixelHead(**TINY).eval()
    (x,) = a_map()
    out = head([x])
    assert out.shape == (2, 3, 12, 20)
    weight = head.conv_seg.conv.weight[..., 0, 0]  # (K r², C)
    for k in range(3):
        for y in range(12):
            for column in range(20):
                channel = k * 16 + (y % 4) * 4 + column % 4
                expected = x[:, :, y // 4, column // 4] @ weight[channel]
                torch.testing.assert_close(out[:, k, y, column], expected)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_init_weights_makes_it_nearest_neighbour_upsampling(kernel_size):
    head = SubPixelHead(**TINY, kernel_size=kernel_size).eval()
    fresh = head(a_map())
    assert not torch.equal(fresh[..., ::4, ::4], fresh[..., 1::4, 1::4])
    head.init_weights()
    out = head(a_map())
    small = out[..., ::4, ::4]
    torch.testing.assert_close(
        out, torch.nn.functional.interpolate(small, scale_factor=4.0, mode="nearest")
    )
    # MMSeg's own draw for classifiers
    assert 0.005 < head.conv_seg.conv.weight.std() < 0.015


def test_icnr_can_be_left_out():
    head = SubPixelHead(**TINY, icnr=False).eval()
    head.init_weights()
    out = head(a_map())
    assert not torch.equal(out[..., ::4, ::4], out[..., 1::4, 1::4])


def test_pretrained_weights_are_not_touched_by_icnr(tmp_path):
    trained = SubPixelHead(**TINY)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "head.pth")
    checkpoint = {"type": "Pretrained", "checkpoint": str(tmp_path / "head.pth")}
    head = SubPixelHead(**TINY, init_cfg=checkpoint)
    head.init_weights()
    assert torch.equal(head.conv_seg.conv.weight, trained.conv_seg.conv.weight)


@pytest.mark.parametrize("size", [(12, 20), (9, 17), (11, 20)])
def test_an_odd_image_is_cut_from_its_upper_left_corner(size):
    head = SubPixelHead(**TINY).eval()
    whole = head(a_map())
    meta = [{"img_shape": size}] * 2
    out = head.predict(a_map(), meta, {})
    assert torch.equal(out, whole[..., : size[0], : size[1]])
    losses = head.loss(a_map(), samples(size), {})
    target = torch.stack([s.gt_sem_seg.data[0] for s in samples(size)])
    expected = torch.nn.functional.cross_entropy(out, target, ignore_index=255)
    torch.testing.assert_close(losses["loss_ce"], expected)
    assert 0 <= losses["acc_seg"] <= 100


@pytest.mark.parametrize("size", [(24, 40), (8, 20), (13, 20)])
def test_a_map_of_another_stride_is_resized_as_in_any_head(size):
    head = SubPixelHead(**TINY).eval()
    expected = torch.nn.functional.interpolate(head(a_map()), size, mode="bilinear")
    torch.testing.assert_close(head.predict(a_map(), [{"img_shape": size}] * 2, {}), expected)
    assert head.loss(a_map(), samples(size), {})["loss_ce"].isfinite()


def test_padding_counts_in_a_whole_image_and_not_in_a_window():
    head = SubPixelHead(**TINY).eval()
    meta = {"img_shape": (9, 17), "pad_shape": (12, 18, 3)}
    assert head.predict(a_map(), [meta] * 2, {}).shape[-2:] == (12, 18)
    meta["img_shape"] = torch.Size((10, 19))
    assert head.predict(a_map(), [meta] * 2, {}).shape[-2:] == (10, 19)


def test_a_binary_head_has_one_map_and_a_sigmoid_loss():
    head = SubPixelHead(
        in_channels=5,
        num_classes=2,
        out_channels=1,
        threshold=0.4,
        upscale_factor=4,
        loss_decode={"type": "CrossEntropyLoss", "use_sigmoid": True, "avg_non_ignore": True},
    )
    assert head(a_map()).shape == (2, 1, 12, 20)
    assert head.threshold == 0.4
    losses = head.loss(a_map(), samples((12, 20), 2), {})
    losses["loss_ce"].backward()
    assert head.conv_seg.conv.weight.grad.abs().sum() > 0


@pytest.mark.filterwarnings("ignore:``build_pixel_sampler`` would be deprecated:UserWarning")
def test_lists_of_losses_and_samplers_get_the_shuffled_logits():
    head = SubPixelHead(
        **TINY,
        sampler={"type": "OHEMPixelSampler", "thresh": 0.7, "min_kept": 4},
        loss_decode=[
            {"type": "CrossEntropyLoss", "loss_name": "loss_ce", "avg_non_ignore": True},
            {"type": "mmrs.GeneralizedDiceLoss", "loss_weight": 0.5},
        ],
    )
    losses = head.loss(a_map(), samples((12, 20)), {})
    assert set(losses) == {"loss_ce", "loss_gd", "acc_seg"}


def test_ignored_pixels_change_nothing():
    head = SubPixelHead(**TINY, ignore_index=7).eval()
    marked = samples((12, 20))
    for sample in marked:
        sample.gt_sem_seg.data[sample.gt_sem_seg.data == 255] = 7
    before = head.loss(a_map(), marked, {})["loss_ce"]
    logits = head(a_map())
    logits[..., 0] += 100  # the first column is ignored
    assert torch.equal(head.loss_by_feat(logits, marked)["loss_ce"], before)


def test_dropout_acts_before_the_convolution_in_training():
    head = SubPixelHead(**TINY, dropout_ratio=0.5).train()
    assert not torch.equal(head(a_map()), head(a_map()))
    head.eval()
    assert torch.equal(head(a_map()), head(a_map()))


def test_maps_of_many_levels_are_joined():
    head = SubPixelHead(
        in_channels=(2, 3),
        in_index=(0, 1),
        input_transform="resize_concat",
        num_classes=3,
        upscale_factor=2,
    )
    assert head([torch.randn(1, 2, 6, 7), torch.randn(1, 3, 3, 4)]).shape == (1, 3, 12, 14)


def test_full_size_has_the_papers_parameters():
    # 1x1 256 -> 16² x 6, without bias; a 3x3 gives 9 times as many
    sizes = {
        k: sum(p.numel() for p in SubPixelHead(256, num_classes=6, kernel_size=k).parameters())
        for k in (1, 3)
    }
    assert sizes == {1: 256 * 1536, 3: 9 * 256 * 1536}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upscale_factor": 0}, "upscale_factor must be >= 1, got 0"),
        ({"kernel_size": 2}, "kernel_size must be odd, got 2"),
        ({"input_transform": "multiple_select"}, "got 'multiple_select'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SubPixelHead(**{**TINY, **options})


def test_a_map_of_other_channels_is_told_in_one_line():
    with pytest.raises(ConfigError, match="in_channels is 5, but the map has 6 channels"):
        SubPixelHead(**TINY)(a_map(channels=6))


def test_the_layer_upsamples_its_bias_alike():
    layer = SubPixelConv(2, 3, 2, bias=True)
    torch.nn.init.normal_(layer.conv.bias)
    layer.init_weights()
    out = layer(torch.zeros(1, 2, 2, 2))
    assert torch.equal(out[..., ::2, ::2], out[..., 1::2, 1::2])
    assert layer.conv.bias.unique().numel() == 3
