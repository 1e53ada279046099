"""SegmentorWindowModel: its options change how, never what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmrs.apis.channels.channel_config import resizing
from mmrs.apis.predict import predict_scene
from mmrs.apis.window.augmented_model import AugmentedWindowModel
from mmrs.apis.window.window_model import SegmentorWindowModel, load_window_model
from mmrs.errors import ConfigError, EnvironmentError
from mmrs.geo.blending import blend_profile
from mmrs.geo.rows.scene_rows import Wanted
from mmrs.geo.windows import plan_windows
from tests.apis.test_predict import demo_config, read_map, save_model, write_scene


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    return save_model(tmp_path, demo_config())


@pytest.fixture
def windows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)


def test_probabilities_are_the_softmax_of_the_heads_logits(trained, windows) -> None:
    model = load_window_model(*trained, device="cpu")
    found = model(windows)
    network = model.model
    # RGB pixels, which the pipeline reads as BGR and the preprocessor turns back
    images = torch.from_numpy(windows).permute(0, 3, 1, 2).double()
    mean, std = torch.tensor([120.0, 110, 100]), torch.tensor([50.0, 60, 70])
    normalised = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    weight = network.decode_head.conv_seg.weight[..., 0, 0].double()
    logits = torch.einsum("kc,nchw->nkhw", weight, normalised)
    logits += network.decode_head.conv_seg.bias.double().view(-1, 1, 1)
    expected = torch.from_numpy(np.exp(logits.detach().numpy()))
    expected /= expected.sum(dim=1, keepdim=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32
    assert len(np.unique(found.argmax(axis=1))) >= 3


def test_answers_of_earlier_batches_stay(trained, windows) -> None:
    model = load_window_model(*trained, device="cpu")
    first = model(windows)
    before = first.copy()
    model(255 - windows)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize(
    ("option", "tolerance"),
    [({"amp": "bf16"}, 0.1), ({"amp": "fp16"}, 0.02), ({"channels_last": True}, 1e-5)],
)
def test_options_of_speed_change_digits_only(trained, windows, option, tolerance) -> None:
    plain = load_window_model(*trained, device="cpu")(windows)
    found = load_window_model(*trained, device="cpu", **option)(windows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain, atol=tolerance)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    if "amp" in option:
        assert (found != plain).any()


def test_options_reach_the_network(trained) -> None:
    model = load_window_model(*trained, device="cpu", channels_last=True)
    seen: list[torch.Tensor] = []
    model.model.backbone.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    model(np.zeros((2, 8, 8, 3), dtype=np.uint8))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert seen[0].shape == (2, 3, 8, 8)
    with pytest.raises(ConfigError, match="amp must be one of bf16, fp16, got 'int8'"):
        load_window_model(*trained, device="cpu", amp="int8")


def test_a_compiled_model_answers_the_same(trained, windows, monkeypatch) -> None:
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: compile(f, backend="eager", **kw))
    plain = load_window_model(*trained, device="cpu")
    compiled = load_window_model(*trained, device="cpu", compile=True)
    for batch in (windows, windows[:1]):
        np.testing.assert_allclose(compiled(batch), plain(batch), atol=1e-6)
    torch._dynamo.reset()


def test_its_band_blends_its_scores(trained, windows) -> None:
    model = load_window_model(*trained, device="cpu")
    assert isinstance(model, SegmentorWindowModel)
    plan = plan_windows(12, 10, 12, 12)
    band = model.make_band(plan, "cosine", Wanted(probabilities=True))
    scores = model.scores(windows)
    assert isinstance(scores, torch.Tensor)
    band.add(plan[0], scores[1])
    (rows,) = band.pop_until(12)
    np.testing.assert_allclose(rows.probabilities, model(windows)[1], rtol=1e-5)
    np.testing.assert_array_equal(rows.labels, model(windows)[1].argmax(axis=0))


def test_memory_that_does_not_suffice_is_told(trained, windows, monkeypatch) -> None:
    def too_much(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate ...")

    model = load_window_model(*trained, device="cpu")
    model.model.backbone.register_forward_hook(too_much)
    with pytest.raises(EnvironmentError, match=r"device cpu: .* 3 windows of 12 x 10 px\. Fix"):
        model(windows)
    monkeypatch.setattr("mmrs.apis.window.window_model.TensorSceneBand", too_much)
    with pytest.raises(EnvironmentError, match=r"hold 8 rows of 90 columns and 4 classes\. Fix"):
        model.make_band(plan_windows(90, 90, 8, 8), "flat", Wanted())


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("how", [(16, 8, "cosine", 3), (12, 7, "flat", 4), (50, 20, "gaussian", 1)])
def test_a_scene_is_blended_on_the_models_device_as_in_memory(
    tmp_path: Path, how: tuple[int, int, str, int], augmented: bool
) -> None:
    """A network that looks around, its own band, ragged batches: float64 sums by hand."""
    window, stride, blend, batch_size = how
    cfg = demo_config(**{"model.decode_head.num_convs": 1, "model.decode_head.kernel_size": 5})
    segmentor = load_window_model(*save_model(tmp_path, cfg), device="cpu")
    model = AugmentedWindowModel(segmentor, symmetries="d4") if augmented else segmentor
    pixels = np.random.default_rng(1).integers(0, 256, (37, 29, 3), dtype=np.uint8)
    image = write_scene(tmp_path / "scene.tif", pixels)
    predict_scene(
        image, tmp_path / "map.tif", model, window=window, stride=stride, blend=blend,
        batch_size=batch_size,
    )  # fmt: skip
    sums = np.zeros((4, 37, 29))
    for place in plan_windows(37, 29, window, stride):
        crop = pixels[place.slices][None]
        sides = (blend_profile(side, blend).astype(np.float64) for side in crop.shape[1:3])
        sums[:, *place.slices] += by_hand(segmentor, crop, augmented)[0] * np.outer(*sides)
    expected = sums.argmax(axis=0)
    two = np.sort(sums / sums.sum(axis=0), axis=0)[-2:]
    sure = two[1] - two[0] > 1e-4  # else rounding decides
    assert sure.mean() > 0.99
    found = read_map(tmp_path / "map.tif")
    np.testing.assert_array_equal(found[sure], expected[sure])
    assert len(np.unique(found)) >= 3


def by_hand(model: SegmentorWindowModel, windows: np.ndarray, augmented: bool) -> np.ndarray:
    """Probabilities of windows; of all eight ways to lay them, the mean."""
    if not augmented:
        return model(windows)
    total = np.zeros(())
    for turns in range(4):
        for flipped in (False, True):
            laid = np.rot90(windows, turns, (1, 2))
            scores = model(laid[:, ::-1] if flipped else laid)
            scores = scores[:, :, ::-1] if flipped else scores
            total = total + np.rot90(scores, -turns, (2, 3)).astype(np.float64) / 8
    return total


def test_tensors_that_the_model_has_no_place_for_are_told(trained, caplog) -> None:
    config, weights = trained
    content = torch.load(weights)
    content["state_dict"]["auxiliary_head.conv_seg.bias"] = torch.zeros(4)
    torch.save(content, weights)
    load_window_model(config, weights, device="cpu")
    assert "tensors" not in caplog.text  # what serves training alone
    content["state_dict"]["decode_head.convs.0.weight"] = torch.zeros(4)
    torch.save(content, weights)
    load_window_model(config, weights, device="cpu")
    assert "weights.pth: 1 of its tensors are not in the model" in caplog.text
    assert "such as decode_head.convs.0.weight" in caplog.text


def test_a_pipeline_that_resizes_is_told(tmp_path, caplog) -> None:
    cfg = demo_config()
    _, weights = save_model(tmp_path, cfg)
    load_window_model(cfg, weights, device="cpu")
    assert not caplog.records
    resize = {"type": "Resize", "scale": (512, 256), "keep_ratio": True}
    cfg.test_pipeline.insert(1, resize)
    load_window_model(cfg, weights, device="cpu")
    assert "test_pipeline resizes images to 512 x 256 px" in caplog.text
    cfg.test_pipeline[1] = {"type": "Resize", "scale_factor": 2.0}
    assert resizing(cfg) == "2.0 of their size"


def test_the_scope_of_the_program_around_stays(trained) -> None:
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        load_window_model(*trained, device="cpu")
        assert DefaultScope.get_current_instance().scope_name == "mmpretrain"


OLD = {"CLASSES": ("p", "q", "r", "s"), "PALETTE": [[9, 9, index] for index in range(4)]}
NEW = {"dataset_meta": {"classes": ("e", "f", "g", "h"), "palette": None}}


@pytest.mark.parametrize(
    ("meta", "dataset", "names"),
    [
        (OLD, {"type": "LoveDADataset"}, ("p", "q", "r", "s")),
        ({**OLD, **NEW}, None, ("e", "f", "g", "h")),
        (
            {"dataset_meta": {"classes": None}},
            {"metainfo": {"classes": list("abcd")}},
            tuple("abcd"),
        ),
        ({}, {"type": "LoveDADataset"}, ("class 0", "class 1", "class 2", "class 3")),
        (
            {},
            {"metainfo": {"classes": "classes.txt"}},
            ("class 0", "class 1", "class 2", "class 3"),
        ),
    ],
)
def test_classes_are_named_by_whoever_knows_them(tmp_path, meta, dataset, names) -> None:
    changes = {} if dataset is None else {"test_dataloader.dataset": dataset}
    model = load_window_model(*save_model(tmp_path, demo_config(**changes), **meta), device="cpu")
    assert model.classes == names
    assert len(set(model.palette)) == 4
    if names == OLD["CLASSES"]:
        assert model.palette[3] == (9, 9, 3)


def test_the_type_of_the_data_set_knows_its_classes(tmp_path) -> None:
    cfg = demo_config(**{"model.decode_head.num_classes": 7})
    cfg.merge_from_dict({"test_dataloader.dataset": {"type": "LoveDADataset"}})
    model = load_window_model(*save_model(tmp_path, cfg), device="cpu")
    assert model.classes[:3] == ("background", "building", "road")


@pytest.mark.parametrize("num_classes", [1, 2])
def test_one_channel_tells_two_classes_apart(tmp_path, windows, num_classes) -> None:
    cfg = demo_config(
        **{"model.decode_head.num_classes": num_classes, "model.decode_head.out_channels": 1,
           "model.decode_head.threshold": 0.3,
           "model.decode_head.loss_decode.use_sigmoid": True}
    )  # fmt: skip
    names = {"dataset_meta": {"classes": ("ground", "roof"), "palette": [[0, 0, 0], [9, 9, 9]]}}
    model = load_window_model(*save_model(tmp_path, cfg, **names), device="cpu")
    assert (model.classes, model.threshold) == (("ground", "roof"), 0.3)
    assert model(windows).shape == (3, 2, 12, 10)


def test_a_config_without_a_model_is_told(trained) -> None:
    with pytest.raises(ConfigError, match="prediction needs model"):
        load_window_model(Config({"a": 1}), trained[1])


def test_sliding_windows_without_a_size_are_told(trained) -> None:
    with pytest.raises(ConfigError, match=r"model\.test_cfg: mode='slide' needs stride"):
        load_window_model(
            *trained,
            device="cpu",
            cfg_options={"model.test_cfg": {"mode": "slide", "crop_size": 8}},
        )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ((512, 512), (256, 256))),
        ({"model.data_preprocessor.size": (24, 16)}, ((24, 16), (12, 8))),
        ({"model.data_preprocessor.size": (24, 16), "crop_size": 40}, ((40, 40), (20, 20))),
        (
            {
                "crop_size": 40,
                "model.test_cfg": {"mode": "slide", "crop_size": 9, "stride": (7, 5)},
            },
            ((9, 9), (7, 5)),
        ),
    ],
)
def test_windows_are_those_of_the_test_mode_or_of_the_training(trained, changes, expected) -> None:
    model = load_window_model(*trained, device="cpu", cfg_options=changes)
    assert (model.window, model.stride) == expected


def test_a_crop_size_that_is_none_is_told(trained) -> None:
    with pytest.raises(ConfigError, match=r"config\.py: crop_size must be whole pixels.*'x'"):
        load_window_model(*trained, device="cpu", cfg_options={"crop_size": "x"})
