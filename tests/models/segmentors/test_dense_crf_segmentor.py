"""A CRF after any segmentor: classes, padding, sigmoid heads, augmentation, checkpoints."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmrs.errors import ConfigError
from mmrs.ops.crf import dense_crf, tiled_dense_crf

MEAN, STD = [120.0, 110.0, 100.0], [50.0, 60.0, 70.0]
pytestmark = pytest.mark.filterwarnings("ignore:For binary segmentation:UserWarning")


@MODELS.register_module(name="CRFTestPixels")
class Pixels(nn.Module):
    """A backbone without weights: features are the normalised pixels."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


def config(kind: str, *, bands: int = 3, out_channels: int = 3, **options) -> dict:
    head = {
        "type": "FCNHead",
        "in_channels": bands,
        "channels": bands,
        "num_convs": 0,
        "concat_input": False,
        "num_classes": max(out_channels, 2),
        "out_channels": out_channels,
        "dropout_ratio": 0,
        "loss_decode": {
            "type": "CrossEntropyLoss",
            "use_sigmoid": out_channels == 1,
            "avg_non_ignore": True,
        },
    }
    if out_channels == 1:
        head["threshold"] = 0.5
    model = {
        "type": kind,
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            # upstream takes one value for all bands, or three
            "mean": MEAN if bands == 3 else MEAN[:1],
            "std": STD if bands == 3 else STD[:1],
            "bgr_to_rgb": False,
            "pad_val": 0,
            "test_cfg": {"size_divisor": 16},
        },
        "backbone": {"type": "CRFTestPixels"},
        "decode_head": head,
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
        **options,
    }
    if "Cascade" in kind:
        ocr = {**head, "type": "OCRHead", "channels": 4, "ocr_channels": 4}
        ocr.pop("num_convs"), ocr.pop("concat_input")
        model.update(num_stages=2, decode_head=[head, ocr])
    return model


def build(kind: str = "mmrs.CRFEncoderDecoder", **options) -> nn.Module:
    init_default_scope("mmseg")
    torch.manual_seed(0)
    model = MODELS.build(Config(config(kind, **options)).copy())
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    model.eval()
    return model


def make_image(height: int = 16, width: int = 16, *, bands: int = 3, seed: int = 0) -> Tensor:
    """Four coloured quarters with noise, (bands, H, W) float32 of 0 to 255."""
    generator = torch.Generator().manual_seed(seed)
    quarter = torch.rand(bands, 2, 2, generator=generator) * 200 + 25
    rows, columns = torch.arange(height) * 2 // height, torch.arange(width) * 2 // width
    image = quarter[:, rows][:, :, columns]
    return (image + 12 * torch.randn(image.shape, generator=generator)).clamp(0, 255)


def batch_of(*images: Tensor) -> dict:
    samples = []
    for image in images:
        shape = tuple(image.shape[-2:])
        meta = {"img_shape": shape, "ori_shape": shape, "img_path": ""}
        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.long))
        samples.append(sample)
    return {"inputs": list(images), "data_samples": samples}


def plain_logits(model: nn.Module, image: Tensor) -> Tensor:
    """Logits before the CRF, from a twin without it."""
    kind = "CascadeEncoderDecoder" if "Cascade" in type(model).__name__ else "EncoderDecoder"
    head = model.decode_head[-1] if isinstance(model.decode_head, nn.ModuleList) else None
    head = head or model.decode_head
    twin = build(kind, bands=len(image), out_channels=head.out_channels)
    twin.load_state_dict(model.state_dict())
    normalized = (image - twin.data_preprocessor.mean) / twin.data_preprocessor.std
    with torch.no_grad():
        return twin.encode_decode(normalized[None], [{"img_shape": image.shape[-2:]}])


@pytest.mark.parametrize("kind", ["mmrs.CRFEncoderDecoder", "mmrs.CRFCascadeEncoderDecoder"])
def test_prediction_is_the_crf_of_the_networks_softmax_and_the_files_colours(kind):
    model, image = build(kind), make_image()
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    before = plain_logits(model, image).softmax(1)
    expected = dense_crf(before, image[None])[0]
    torch.testing.assert_close(result.seg_logits.data.exp(), expected, rtol=1e-3, atol=1e-3)
    # log-probabilities: a softmax, as test-time augmentation takes it, gives them back
    torch.testing.assert_close(result.seg_logits.data.softmax(0), expected, rtol=1e-3, atol=1e-3)
    assert (result.pred_sem_seg.data[0] == expected.argmax(0)).double().mean() > 0.99
    assert (expected - before).abs().max() > 0.01


@pytest.mark.parametrize("kind", ["EncoderDecoder", "CascadeEncoderDecoder"])
def test_checkpoints_of_the_stock_segmentor_fit_and_training_is_the_same(kind):
    stock, model = build(kind), build(f"mmrs.CRF{kind}")
    assert list(model.state_dict()) == list(stock.state_dict())
    model.load_state_dict(stock.state_dict())
    inputs, samples = torch.randn(2, 3, 16, 16), batch_of(make_image(), make_image())
    losses = [m.loss(inputs, samples["data_samples"]) for m in (stock, model)]
    for key, value in losses[0].items():
        torch.testing.assert_close(losses[1][key], value)
    torch.testing.assert_close(model(inputs), stock(inputs))  # mode='tensor'


def test_padding_does_not_change_the_result():
    # 16 divides neither side of 13 x 18: the preprocessor pads with zeros, a strong edge
    image = make_image(13, 18)
    model = build()
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    expected = dense_crf(plain_logits(model, image).softmax(1), image[None])[0]
    assert result.seg_logits.data.shape == (3, 13, 18)
    torch.testing.assert_close(result.seg_logits.data.exp(), expected, rtol=1e-3, atol=1e-3)


def test_sigmoid_head_keeps_one_channel_and_its_threshold():
    model, image = build(out_channels=1), make_image()
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    second = plain_logits(model, image).sigmoid()
    expected = dense_crf(torch.cat([1 - second, second], 1), image[None])[0, 1:]
    assert result.seg_logits.data.shape == (1, 16, 16)  # MMSeg stores the sigmoid of them
    torch.testing.assert_close(result.seg_logits.data, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(result.pred_sem_seg.data, (expected > 0.5).float())


def test_slide_mode_refines_the_merged_image_once():
    options = {"test_cfg": {"mode": "slide", "crop_size": (16, 16), "stride": (8, 8)}}
    model, image = build(**options), make_image(24, 24)
    model.data_preprocessor.test_cfg = None
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    # the features are pixels, so merging windows gives the whole image's logits
    expected = dense_crf(plain_logits(model, image).softmax(1), image[None])[0]
    torch.testing.assert_close(result.seg_logits.data.exp(), expected, rtol=1e-3, atol=1e-3)


# upstream's merging writes a map without its first axis
@pytest.mark.filterwarnings("ignore:The shape of value will convert:UserWarning")
def test_test_time_augmentation_averages_refined_probabilities():
    model, image = build(), make_image()
    tta = SegTTAModel(module=model)
    batches = []
    for flip in (False, True):
        one = batch_of(image.flip(-1) if flip else image)
        one["data_samples"][0].set_metainfo(
            {"flip": flip, "flip_direction": "horizontal" if flip else None}
        )
        batches.append(one)
    data = {key: [batch[key] for batch in batches] for key in ("inputs", "data_samples")}
    with torch.no_grad():
        (result,) = tta.test_step(copy.deepcopy(data))
        refined = [model.test_step(batch)[0].seg_logits.data.softmax(0) for batch in batches]
    expected = (refined[0] + refined[1]) / 2
    assert (result.pred_sem_seg.data[0] == expected.argmax(0)).all()


@pytest.mark.parametrize(
    "option",
    [
        {"crf": {"num_iters": 1}},
        {"crf": {"bilateral_color_sigma": 60.0}},
        {"crf_bands": (0,)},
        {"crf_color_scale": 0.2},
        {"crf_tile_px": 5, "crf_halo_px": 1},
    ],
    ids=str,
)
def test_option_is_used(option):
    image = make_image()
    with torch.no_grad():
        default = build().test_step(batch_of(image))[0].seg_logits.data.exp()
        changed = build(**option).test_step(batch_of(image))[0].seg_logits.data.exp()
    assert (changed - default).abs().max() > 1e-3


def test_bands_and_scale_make_the_colours():
    # 11-bit values of four bands; the first and the last are the colours
    image = make_image(bands=4) * 8
    model = build(bands=4, crf_bands=(0, 3), crf_color_scale=1 / 8)
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    expected = dense_crf(plain_logits(model, image).softmax(1), image[None, [0, 3]] / 8)[0]
    torch.testing.assert_close(result.seg_logits.data.exp(), expected, rtol=1e-3, atol=1e-3)


def test_all_bands_are_colours_where_none_are_chosen():
    image = make_image(bands=4)
    model = build(bands=4, crf_bands=None)
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    expected = dense_crf(plain_logits(model, image).softmax(1), image[None])[0]
    torch.testing.assert_close(result.seg_logits.data.exp(), expected, rtol=1e-3, atol=1e-3)


def test_tiles_are_those_of_the_function():
    image = make_image(20, 20)
    model = build(crf_tile_px=8, crf_halo_px=4)
    model.data_preprocessor.test_cfg = None
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    probabilities = plain_logits(model, image).softmax(1)
    expected = tiled_dense_crf(probabilities, image[None], tile_px=8, halo_px=4)[0]
    torch.testing.assert_close(result.seg_logits.data.exp(), expected, rtol=1e-3, atol=1e-3)


def test_confident_networks_stay_finite():
    model, image = build(), make_image()
    model.decode_head.conv_seg.weight.data *= 1e4
    with torch.no_grad():
        (result,) = model.test_step(batch_of(image))
    assert result.seg_logits.data.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crf": {"iterations": 3}}, "crf must hold options of dense_crf .* got iterations"),
        ({"crf": {"num_iters": -1}}, "num_iters must be >= 0, got -1"),
        ({"crf": {"compatibility": [[0, 1], [1, 0]]}}, r"compatibility must be \(3, 3\)"),
        ({"crf_color_scale": 0}, "crf_color_scale must be > 0, got 0"),
        ({"crf_tile_px": 0}, "tile_px must be >= 1"),
    ],
)
def test_bad_options_are_told_when_the_model_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def predict(model: nn.Module, *images: Tensor) -> list:
    with torch.no_grad():
        return model.test_step(batch_of(*images))


@pytest.mark.parametrize("bits", [11, 12, 16])
def test_colours_beyond_the_scale_are_told_with_the_scale_to_set(bits):
    image = make_image() / 255 * (2**bits - 1)
    image[:, 0, 0] = torch.tensor([0, 0, 2.0**bits - 1])
    with pytest.raises(ConfigError) as caught:
        predict(build(), make_image(), image)
    told = str(caught.value)
    assert told.startswith(f"model.crf_color_scale: colours reach {2**bits - 1} with ")
    assert f"Fix: set crf_color_scale=255/{2**bits - 1}," in told and "\n" not in told
    predict(build(crf_color_scale=255 / (2**bits - 1)), make_image(), image)
    # a scale that is set and too large: the mend speaks of the values of the file
    with pytest.raises(ConfigError, match=f"set crf_color_scale=255/{2**bits - 1},"):
        predict(build(crf_color_scale=0.9), image)


def test_colours_up_to_the_bound_or_of_no_account_are_taken():
    image = make_image() * 8
    image[:, 0, 0] = torch.tensor([0, 0, 2047.0])
    for crf in ({"bilateral_color_sigma": 104.0}, {"bilateral_weight": 0.0}):
        predict(build(crf=crf), image)
    predict(build(crf_bands=(0, 1)), torch.cat([make_image()[:2], image[2:]]))
    predict(build(), make_image() * 3.9)
    with pytest.raises(ConfigError, match="colours reach 2047"):
        predict(build(crf={"bilateral_color_sigma": 26.0}), image)


@pytest.mark.parametrize(("fill", "bits"), [(-9999.0, 8), (65535.0, 11)])
def test_what_fills_gaps_is_no_colour(fill, bits):
    scale = 255 / (2**bits - 1)
    image = make_image() / scale
    image[:, :3] = fill
    predict(build(crf_color_scale=scale), image)
    image[0, 8, 8] = 5000 / scale
    with pytest.raises(ConfigError, match="colours reach 5000"):
        predict(build(crf_color_scale=scale), image)


def test_padding_is_no_colour():
    model = build()
    model.data_preprocessor.pad_val = 1e4
    predict(model, make_image(13, 18))


def test_values_that_are_not_finite_are_told_as_such():
    image = make_image()
    for value in (torch.nan, torch.inf):
        image[0, 3, 3] = value
        with pytest.raises(ValueError, match="must be finite"):
            predict(build(), image)


def test_bands_that_the_input_lacks_are_told_in_one_line():
    model = build(crf_bands=(0, 3))
    with torch.no_grad(), pytest.raises(ValueError, match=r"crf_bands must be among 3 bands"):
        model.test_step(batch_of(make_image()))
