from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import inference_model
from mmseg.registry import MODELS
from rasterio._env import get_gdal_config
from rasterio.crs import CRS
from torch import nn

from mmrs.apis.channels.channel_config import check_windows_can_follow, read_contract, type_name
from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.predict import predict_scene
from mmrs.apis.predict_command import predict_file
from mmrs.apis.window.window_model import load_window_model
from mmrs.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    EnvironmentError,
    MmrsError,
    OutputError,
)
from mmrs.geo.raster import GDAL_CACHE_BYTES, Raster
from mmrs.geo.windows import plan_starts
from tests.configs.small import load

ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2.0, -2.0)


@MODELS.register_module()
class PixelsAsFeatures(nn.Module):
    """A backbone without weights: features are the normalised pixels."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


class ColourModel:
    """Class = the strongest of the bands as they lie in the file; no torch in it."""

    classes = ("red", "green", "blue")
    palette = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    contract = ChannelContract(3, "uint8", "file")
    threshold = None
    window, stride = (8, 8), (4, 4)
    identity: ClassVar = {"model": "colours"}

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.shapes.append(windows.shape)
        scores = np.exp(windows.astype(np.float32) / 32)
        scores /= scores.sum(axis=-1, keepdims=True)
        return scores.transpose(0, 3, 1, 2)


def demo_config(**changes) -> Config:
    """A 1x1 convolution under MMSegmentation's own segmentor, preprocessor and pipeline."""
    cfg = Config(
        {
            "default_scope": "mmseg",
            "model": {
                "type": "EncoderDecoder",
                "data_preprocessor": {
                    "type": "SegDataPreProcessor",
                    "mean": [120.0, 110.0, 100.0],
                    "std": [50.0, 60.0, 70.0],
                    "bgr_to_rgb": True,
                },
                "backbone": {"type": "PixelsAsFeatures"},
                "decode_head": {
                    "type": "FCNHead",
                    "in_channels": 3,
                    "channels": 3,
                    "num_convs": 0,
                    "concat_input": False,
                    "dropout_ratio": 0,
                    "num_classes": 4,
                    "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
                },
                "test_cfg": {"mode": "whole"},
            },
            "test_pipeline": [{"type": "LoadImageFromFile"}, {"type": "PackSegInputs"}],
        }
    )
    cfg.merge_from_dict(changes)
    return cfg


def save_model(folder: Path, cfg: Config, *, seed: int = 0, **meta) -> tuple[Path, Path]:
    """Config file and checkpoint of a model with random weights."""
    init_default_scope("mmseg")
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    config, checkpoint = folder / "config.py", folder / "weights.pth"
    cfg.dump(config)
    torch.save({"state_dict": model.state_dict(), "meta": meta}, checkpoint)
    return config, checkpoint


def write_scene(path: Path, pixels: np.ndarray, **options) -> Path:
    height, width, count = pixels.shape
    options = {"crs": "EPSG:32633", "transform": ROTATED, **options}
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count,
        dtype=pixels.dtype, **options,
    ) as dataset:  # fmt: skip
        dataset.write(np.moveaxis(pixels, -1, 0))
    return path


def read_map(path: Path) -> np.ndarray:
    with Raster(path) as raster:
        return raster.read()[..., 0]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (41, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("blend", ["cosine", "gaussian", "flat"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (8, 8), (9, 16), (17, 24), (23, 11)])
@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 5), (8, 1)])
def test_a_pointwise_model_gives_the_whole_image_answer(
    tmp_path: Path, size: tuple[int, int], window: int, stride: int, blend
) -> None:
    pixels = np.random.default_rng(1).integers(1, 256, (*size, 3), dtype=np.uint8)
    image = write_scene(tmp_path / "scene.tif", pixels)
    predict_scene(
        image, tmp_path / "map.tif", ColourModel(), window=window, stride=stride, batch_size=3,
        blend=blend,
    )  # fmt: skip
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif"), pixels.argmax(axis=-1))


def test_a_model_with_context_is_blended_as_in_memory(tmp_path: Path, pixels: np.ndarray) -> None:
    class BlurModel(ColourModel):
        """Looks 2 pixels around, so that window borders differ from the whole image."""

        def __call__(self, windows: np.ndarray) -> np.ndarray:
            blurred = [cv2.blur(window, (5, 5)) for window in windows]
            return super().__call__(np.stack(blurred))

    image = write_scene(tmp_path / "scene.tif", pixels)
    predict_scene(image, tmp_path / "map.tif", BlurModel(), window=8, stride=3, batch_size=5)
    total = np.zeros((3, 41, 30))
    bump = np.sin(np.pi * (np.arange(8) + 0.5) / 8) ** 2
    for row in plan_starts(41, 8, 3):
        for col in plan_starts(30, 8, 3):
            window = pixels[None, row : row + 8, col : col + 8]
            total[:, row : row + 8, col : col + 8] += BlurModel()(window)[0] * np.outer(bump, bump)
    expected = total.argmax(axis=0)
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif"), expected)
    # the control: without overlap the borders show
    predict_scene(image, tmp_path / "hard.tif", BlurModel(), window=8, stride=8)
    assert (read_map(tmp_path / "hard.tif") != expected).any()


def test_batches_are_full_and_run_across_lines_of_windows(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    model, seen = ColourModel(), []
    image = write_scene(tmp_path / "scene.tif", pixels)
    result = predict_scene(
        image, tmp_path / "map.tif", model, window=16, stride=16, batch_size=4,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    # 3 lines of 2 windows
    assert [shape[0] for shape in model.shapes] == [4, 2]
    assert seen == [(4, 6), (6, 6), (6, 6)]
    assert result.windows == 6


def test_the_map_lies_on_the_scenes_grid(tmp_path: Path, pixels: np.ndarray) -> None:
    image = write_scene(tmp_path / "é 中 x.tif", pixels)
    predict_scene(image, tmp_path / "map é.tif", ColourModel())
    with Raster(tmp_path / "map é.tif") as raster:
        assert raster.georeference.crs == CRS.from_epsg(32633)
        assert raster.georeference.transform.almost_equals(ROTATED, 1e-9)
        assert (raster.height, raster.width) == pixels.shape[:2]


def test_nodata_of_the_scene_is_nodata_of_the_map_and_is_not_predicted(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    pixels[:20] = 0
    pixels[25, 3] = 0
    model = ColourModel()
    image = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    result = predict_scene(image, tmp_path / "map.tif", model, window=8, stride=8, batch_size=1)
    labels = read_map(tmp_path / "map.tif")
    empty = (pixels == 0).all(axis=-1)
    assert (labels[empty] == 255).all()
    np.testing.assert_array_equal(labels[~empty], pixels.argmax(axis=-1)[~empty])
    # lines start at 0, 8, 16, 24, 32, 33: the first two hold nothing
    assert len(model.shapes) == 4 * 4
    assert result.nodata_pixels == empty.sum()
    assert sum(result.pixels) == (~empty).sum()


def test_a_scene_without_any_data_gives_a_map_without_any(tmp_path: Path) -> None:
    image = write_scene(tmp_path / "scene.tif", np.zeros((20, 20, 3), dtype=np.uint8), nodata=0)
    result = predict_scene(image, tmp_path / "map.tif", ColourModel())
    assert (read_map(tmp_path / "map.tif") == 255).all()
    assert result.summary() == f"{tmp_path / 'map.tif'}: no pixel holds data"


def test_a_picture_without_a_crs_is_predicted_with_a_warning(
    tmp_path: Path, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    with caplog.at_level(logging.WARNING, "mmrs"):
        predict_scene(tmp_path / "a.png", tmp_path / "map.tif", ColourModel())
    assert "has no CRS or grid, so the map will have none" in caplog.text
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif"), pixels.argmax(axis=-1))
    with Raster(tmp_path / "map.tif") as raster:
        assert raster.georeference.is_missing


@pytest.mark.parametrize("bgr_to_rgb", [True, False])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_channels_and_normalisation_are_those_of_the_pipeline(
    tmp_path: Path, pixels: np.ndarray, suffix: str, bgr_to_rgb: bool
) -> None:
    cfg = demo_config(**{"model.data_preprocessor.bgr_to_rgb": bgr_to_rgb})
    config, checkpoint = save_model(tmp_path, cfg)
    image = tmp_path / f"scene{suffix}"
    cv2.imwrite(str(tmp_path / "scene.png"), pixels[..., ::-1])
    if suffix == ".tif":
        write_scene(image, pixels)
    predict_file(image, config, checkpoint, tmp_path / "map.tif", window=16, device="cpu")
    # MMSegmentation's own way, from the PNG through its loader and its segmentor
    model = load_window_model(config, checkpoint).model
    model.cfg = cfg
    expected = inference_model(model, str(tmp_path / "scene.png")).pred_sem_seg.data[0].numpy()
    assert len(np.unique(expected)) >= 3
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif"), expected)


def test_red_is_the_first_channel_of_an_rgb_model(tmp_path: Path) -> None:
    cfg = demo_config(**{"model.decode_head.num_classes": 3})
    config, checkpoint = save_model(tmp_path, cfg)
    content = torch.load(checkpoint)
    content["state_dict"]["decode_head.conv_seg.weight"] = torch.eye(3)[..., None, None]
    content["state_dict"]["decode_head.conv_seg.bias"] = torch.zeros(3)
    torch.save(content, checkpoint)
    pixels = np.full((6, 9, 3), 90, dtype=np.uint8)
    pixels[:, :3, 0] = pixels[:, 3:6, 1] = pixels[:, 6:, 2] = 250
    image = write_scene(tmp_path / "scene.tif", pixels)
    predict_file(image, config, checkpoint, tmp_path / "map.tif", device="cpu")
    np.testing.assert_array_equal(
        read_map(tmp_path / "map.tif"), np.tile(np.repeat([0, 1, 2], 3), (6, 1))
    )


def test_one_output_channel_is_decided_by_its_threshold(tmp_path: Path) -> None:
    cfg = demo_config(
        **{
            "model.decode_head.num_classes": 2,
            "model.decode_head.out_channels": 1,
            "model.decode_head.threshold": 0.3,
            "model.decode_head.loss_decode.use_sigmoid": True,
        }
    )
    config, checkpoint = save_model(tmp_path, cfg)
    content = torch.load(checkpoint)
    # the logit is the normalised first channel: (red - 120) / 50
    content["state_dict"]["decode_head.conv_seg.weight"] = torch.eye(3)[:1, :, None, None]
    content["state_dict"]["decode_head.conv_seg.bias"] = torch.zeros(1)
    torch.save(content, checkpoint)
    pixels = np.full((1, 256, 3), 9, dtype=np.uint8)
    pixels[0, :, 0] = np.arange(256)
    image = write_scene(tmp_path / "scene.tif", pixels)
    predict_file(image, config, checkpoint, tmp_path / "map.tif", device="cpu")
    # sigmoid(x) > 0.3 from x = log(3 / 7) = -0.8473 on: red > 77.6
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif")[0], np.arange(256) > 77)


@pytest.mark.filterwarnings("ignore:For binary segmentation:UserWarning")
def test_a_crf_refines_the_windows_of_a_scene(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = np.full((24, 40, 3), 60.0)
    pixels[:, 17:] = 180
    pixels = (pixels + generator.normal(0, 8, pixels.shape)).clip(0, 255).astype(np.uint8)
    image = write_scene(tmp_path / "scene.tif", pixels)
    maps = {}
    for kind in ("EncoderDecoder", "mmrs.CRFEncoderDecoder"):
        cfg = demo_config(**{"model.type": kind, "model.decode_head.num_classes": 2})
        config, checkpoint = save_model(tmp_path, cfg)
        content = torch.load(checkpoint)
        # a noisy red decides between the classes
        weight = torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]])[..., None, None]
        content["state_dict"]["decode_head.conv_seg.weight"] = weight
        content["state_dict"]["decode_head.conv_seg.bias"] = torch.tensor([0.6, -0.6])
        torch.save(content, checkpoint)
        noisy = pixels.copy()
        noisy[5, 3] = 160  # one bright pixel among dark ones
        write_scene(image, noisy)
        predict_file(image, config, checkpoint, tmp_path / "map.tif", window=16, device="cpu")
        maps[kind] = read_map(tmp_path / "map.tif")
    expected = np.tile(np.arange(40) >= 17, (24, 1))
    assert maps["EncoderDecoder"][5, 3] == 1
    np.testing.assert_array_equal(maps["mmrs.CRFEncoderDecoder"], expected)


def test_names_and_colours_come_from_the_checkpoint(tmp_path: Path, pixels: np.ndarray) -> None:
    meta = {"classes": ("a", "b", "c", "d"), "palette": [[1, 2, 3]] * 4}
    config, checkpoint = save_model(tmp_path, demo_config(), dataset_meta=meta)
    model = load_window_model(config, checkpoint)
    assert model.classes == ("a", "b", "c", "d")
    assert model.palette == ((1, 2, 3),) * 4
    config, checkpoint = save_model(tmp_path, demo_config())
    assert load_window_model(config, checkpoint).classes[3] == "class 3"


def test_the_configs_own_windows_are_the_default(tmp_path: Path) -> None:
    cfg = demo_config()
    config, checkpoint = save_model(tmp_path, cfg)
    model = load_window_model(config, checkpoint)
    assert (model.window, model.stride) == ((512, 512), (256, 256))
    cfg.crop_size = (64, 96)
    cfg.dump(config)
    model = load_window_model(config, checkpoint)
    assert (model.window, model.stride) == ((64, 96), (32, 48))
    cfg.model.test_cfg = {"mode": "slide", "crop_size": (32, 32), "stride": (20, 24)}
    cfg.dump(config)
    model = load_window_model(config, checkpoint)
    assert (model.window, model.stride) == ((32, 32), (20, 24))


def test_overlap_is_another_word_for_stride(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, checkpoint = save_model(tmp_path, demo_config())
    image = write_scene(tmp_path / "scene.tif", pixels)
    result = predict_file(
        image, config, checkpoint, tmp_path / "map.tif", window=16, overlap=4, device="cpu"
    )
    # steps of 12: rows 0, 12, 24, 25 and columns 0, 12, 14
    assert result.windows == 4 * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("count", [1, 3, 4, 12])
def test_other_bands_or_types_than_the_models_are_refused(
    tmp_path: Path, count: int, dtype
) -> None:
    if count == 3 and dtype is np.uint8:
        pytest.skip("that is what the model takes")
    pixels = np.ones((8, 8, count), dtype=dtype)
    # GDAL takes a fourth byte band for alpha unless told otherwise
    image = write_scene(tmp_path / "scene.tif", pixels, photometric="MINISBLACK")
    with rasterio.open(image, "r+") as dataset:
        dataset.colorinterp = [rasterio.enums.ColorInterp.undefined] * count
    name = np.dtype(dtype).name
    message = rf"scene\.tif: {count} bands? of {name} found, 3 bands of uint8 expected\. Fix: "
    with pytest.raises(DataError, match=message):
        predict_scene(image, tmp_path / "map.tif", ColourModel())
    assert not (tmp_path / "map.tif").exists()


def test_an_error_in_the_model_leaves_the_old_map(
    tmp_path: Path, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(ColourModel):
        def __init__(self, fails_at: int) -> None:
            super().__init__()
            self.fails_at = fails_at

        def __call__(self, windows: np.ndarray) -> np.ndarray:
            if len(self.shapes) == self.fails_at:
                raise RuntimeError("boom")
            return super().__call__(windows)

    image = write_scene(tmp_path / "scene.tif", pixels)
    (tmp_path / "map.tif").write_text("old")
    for fails_at, left in ((0, []), (3, [".map.tif.mmrs-rows"])):
        with pytest.raises(RuntimeError, match="boom"):
            predict_scene(image, tmp_path / "map.tif", Failing(fails_at), window=8)
        assert (tmp_path / "map.tif").read_text() == "old"
        assert sorted(os.listdir(tmp_path)) == [*left, "map.tif", "scene.tif"]
    assert "map.tif: 4 of 41 rows are kept; --resume goes on from there" in caplog.text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"window": 8, "stride": 9}, ConfigError, r"stride must be <= window \(8\), got 9"),
        ({"window": 0}, ConfigError, "window must be >= 1, got 0"),
        ({"window": 8, "stride": 0}, ConfigError, "stride must be >= 1, got 0"),
        ({"batch_size": 0}, ConfigError, "batch size must be >= 1, got 0"),
        ({"overlay": "a.jpg"}, OutputError, r"a\.jpg: the overlay is a PNG"),
    ],
)
def test_options_without_a_meaning_are_refused(
    tmp_path: Path, pixels: np.ndarray, options: dict, error: type[MmrsError], message: str
) -> None:
    image = write_scene(tmp_path / "scene.tif", pixels)
    with pytest.raises(error, match=message):
        predict_scene(image, tmp_path / "map.tif", ColourModel(), **options)
    assert os.listdir(tmp_path) == ["scene.tif"]


def test_the_scene_itself_is_never_overwritten(tmp_path: Path, pixels: np.ndarray) -> None:
    image = write_scene(tmp_path / "scene.tif", pixels)
    with pytest.raises(OutputError, match="would overwrite another file of this run"):
        predict_scene(image, tmp_path / "." / "scene.tif", ColourModel())
    np.testing.assert_array_equal(read_map(image), pixels[..., 0])


def test_what_cannot_be_loaded_is_told_in_one_line(tmp_path: Path, pixels: np.ndarray) -> None:
    image = write_scene(tmp_path / "scene.tif", pixels)
    config, checkpoint = save_model(tmp_path, demo_config())
    text = tmp_path / "text.pth"
    text.write_text("hello")
    empty = tmp_path / "empty.pth"
    torch.save({"meta": {}}, empty)
    other = demo_config(**{"model.decode_head.num_classes": 5})
    other.dump(tmp_path / "other.py")
    cases = [
        ((tmp_path / "no.tif", config, checkpoint), DataError, "no.tif: no such file"),
        ((image, tmp_path / "no.py", checkpoint), ConfigError, "no.py: there is no such config"),
        ((image, config, tmp_path / "no.pth"), CheckpointError, "no.pth: there is no such file"),
        ((image, config, text), CheckpointError, "text.pth: it "),
        ((image, config, empty), CheckpointError, "empty.pth: it holds no weights"),
        (
            (image, tmp_path / "other.py", checkpoint),
            CheckpointError,
            "weights.pth: decode_head.conv_seg.weight is 4x3x1x1 in the checkpoint, "
            "5x3x1x1 in the model",
        ),
    ]
    for arguments, error, start in cases:
        with pytest.raises(error) as caught:
            predict_file(*arguments, tmp_path / "map.tif", device="cpu")
        assert str(caught.value).startswith(str(tmp_path / start))
        assert "\n" not in str(caught.value)
    with pytest.raises(EnvironmentError, match="device abacus: there is no such device"):
        predict_file(image, config, checkpoint, tmp_path / "map.tif", device="abacus")
    assert not (tmp_path / "map.tif").exists()


def test_a_checkpoint_that_knows_other_classes_is_refused(tmp_path: Path) -> None:
    config, checkpoint = save_model(tmp_path, demo_config(), dataset_meta={"classes": ("a", "b")})
    with pytest.raises(CheckpointError, match="it knows 2 classes, the model has 4"):
        load_window_model(config, checkpoint)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ({"type": "LoadImageFromFile"}, ChannelContract(3, "uint8", "reversed")),
        ({"type": "mmcv.LoadImageFromFile"}, ChannelContract(3, "uint8", "reversed")),
        (
            {"type": "LoadImageFromFile", "color_type": "grayscale"},
            ChannelContract(1, "uint8", "file"),
        ),
        (
            {"type": "LoadImageFromFile", "imdecode_backend": "tifffile"},
            ChannelContract(3, None, "file"),
        ),
        ({"type": "LoadSingleRSImageFromFile"}, ChannelContract(3, None, "file")),
        ({"type": "mmrs.LoadRaster"}, ChannelContract(3, None, "file", fills_gaps=True)),
        ({"type": "mmrs.LoadRaster", "nodata": "keep"}, ChannelContract(3, None, "file")),
        (
            {"type": "mmrs.LoadRaster", "bands": [4, 3, 2]},
            ChannelContract(3, None, "file", file_bands=(4, 3, 2), fills_gaps=True),
        ),
    ],
)
def test_the_pipeline_says_what_the_model_takes(load: dict, expected: ChannelContract) -> None:
    cfg = demo_config()
    cfg.test_pipeline = [load, {"type": "Resize", "scale": (9, 9)}, {"type": "PackSegInputs"}]
    normalised = {"swaps": True, "mean": (120, 110, 100), "std": (50, 60, 70)}
    if expected.bands == 1:
        normalised["swaps"] = False
    assert read_contract(cfg) == replace(expected, **normalised)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ([{"type": "LoadImageFromFile"}, {"type": "CLAHE"}], "test_pipeline holds CLAHE"),
        ([{"type": "LoadBiomedicalImageFromFile"}], "begins with LoadBiomedicalImageFromFile"),
        ([{"type": "LoadImageFromFile", "color_type": "unchanged"}], "color_type='unchanged'"),
    ],
)
def test_pipelines_that_windows_cannot_follow_are_refused(pipeline: list, message: str) -> None:
    cfg = demo_config()
    cfg.test_pipeline = pipeline
    with pytest.raises(ConfigError, match=message):
        read_contract(cfg)
        check_windows_can_follow(cfg)


def test_steps_that_touch_labels_alone_are_no_hindrance() -> None:
    cfg = load("ifwm/ifw_hrnet-w48_whu_building.py")
    steps = [type_name(step) for step in cfg.test_dataloader.dataset.pipeline]
    assert "MapLabels" in steps
    check_windows_can_follow(cfg)
    for name in ("mmrs.MapColors", "mmrs.KeepLabels", "mmrs.CheckSample"):
        cfg.test_dataloader.dataset.pipeline.insert(1, {"type": name})
    check_windows_can_follow(cfg)


def test_gdal_gets_its_cache_in_bytes():
    # rasterio hands the number on as bytes: 128 would leave GDAL without a cache
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        assert int(get_gdal_config("GDAL_CACHEMAX")) == 128 * 2**20
