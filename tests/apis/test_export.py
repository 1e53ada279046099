"""Exported models against PyTorch: every paper's main model, narrowed, at sizes nothing divides."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rasterio
import torch
from affine import Affine
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from mmrs.apis import export as export_module
from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.export import export_onnx
from mmrs.apis.onnx import onnx_graph
from mmrs.apis.onnx.onnx_check import check_equal
from mmrs.apis.onnx.onnx_model import OnnxWindowModel, load_onnx_model
from mmrs.apis.predict import predict_scene
from mmrs.apis.window.window_model import SegmentorWindowModel, load_window_model
from mmrs.compat import explain_import_error
from mmrs.errors import ConfigError, OutputError
from mmrs.geo.raster import Raster
from mmrs.geo.scaling import BandScaling
from tests.apis.tiny_run import run_tool
from tests.configs.small import load, shrink

SIZES = [(48, 48), (37, 61), (70, 33), (1, 1), (5, 96)]
HIRESNET = {
    "stem_channels": 8, "funnel_channels": 24, "num_funnel_blocks": 1, "widths": (24, 24, 24),
    "num_modules": (1, 1), "num_blocks": (1, 1),
}  # fmt: skip
HRNET_WIDTHS = (4, 8, 16, 32)


@dataclass(frozen=True)
class Trained:
    """Files of a model, and both ways to run it."""

    config: Path
    checkpoint: Path
    onnx: Path
    torch_model: SegmentorWindowModel
    onnx_model: OnnxWindowModel


def narrow(name: str) -> Config:
    """A paper's main config with a few channels."""
    cfg = shrink(load(name))
    model = cfg.model
    if model.backbone.type == "mmrs.HiResNet":
        model.backbone.update(HIRESNET)
        model.decode_head.update(
            in_channels=(24, 24, 24), coarse_channels=8, channels=8, key_channels=8
        )
    elif model.backbone.type == "mmrs.IFWHRNet":
        for stage, settings in model.backbone.extra.items():
            settings.num_blocks = (1,) * settings.num_branches
            if stage != "stage1":
                settings.num_channels = HRNET_WIDTHS[: settings.num_branches]
        model.decode_head.update(in_channels=list(HRNET_WIDTHS), channels=8)
    elif "depth" in model.backbone:
        # a ResNet of basic blocks, an eighth as wide
        model.backbone.update(depth=18, base_channels=8, stem_channels=8)
        _narrow_heads(model, width=64)
    return cfg


def _narrow_heads(model: Any, *, width: int) -> None:
    if model.get("neck"):
        model.neck.update(in_channels=width, channels=8)
        model.decode_head.in_channels = 8
    else:
        model.decode_head.update(in_channels=width, channels=8)
    if model.get("auxiliary_head"):
        model.auxiliary_head.update(in_channels=width // 2, channels=8)


def save(folder: Path, cfg: Config, *, seed: int = 0, **meta: Any) -> tuple[Path, Path]:
    """Config and checkpoint of a model whose every layer matters to the result."""
    init_default_scope("mmseg")
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
        elif type(part).__name__ == "FlowConv":
            nn.init.normal_(part.weight, std=0.1)  # else flows are zero and warp nothing
        elif isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=part.weight[0].numel() ** -0.5)
    config, checkpoint = folder / "config.py", folder / "weights.pth"
    cfg.dump(config)
    torch.save({"state_dict": model.state_dict(), "meta": meta}, checkpoint)
    return config, checkpoint


def make(folder: Path, cfg: Config, **options: Any) -> Trained:
    meta = options.pop("meta", {})
    config, checkpoint = save(folder, cfg, seed=options.pop("seed", 0), **meta)
    out = folder / "model.onnx"
    options.setdefault("check_sizes", [(33, 50)])
    export_onnx(config, checkpoint, out, **options)
    torch_model = load_window_model(config, checkpoint, device="cpu")
    return Trained(config, checkpoint, out, torch_model, load_onnx_model(out, threads=1))


def assert_equal(trained: Trained, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Both give the same at every size, and their answers depend on the pixels."""
    rng = np.random.default_rng(1)
    varied = 0.0
    for index, (rows, cols) in enumerate(sizes):
        bands = trained.torch_model.contract.bands
        pixels = rng.integers(0, 256, (1 + index % 3, rows, cols, bands), dtype=np.uint8)
        expected, found = trained.torch_model(pixels), trained.onnx_model(pixels)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        varied = max(varied, float(expected.std(axis=(0, 2, 3)).max()))
    assert varied > 0.01, "a constant answer proves nothing"


PAPERS = {
    "hiresnet": "hiresnet/hiresnet_loveda.py",
    "rmnet": "rmnet/rmnet_whdld.py",
    "ifwm": "ifwm/ifw_hrnet-w18_vaihingen.py",
    "dilated_spp": "dilated_spp/dilated_spp_potsdam.py",
    "deeplabv3": "deeplabv3/deeplabv3_r34_paddy.py",
}


@pytest.mark.parametrize("name", PAPERS.values(), ids=PAPERS)
@pytest.mark.filterwarnings("ignore:For binary segmentation, we suggest:UserWarning")
def test_every_papers_main_model_is_the_same_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    trained = make(tmp_path, narrow(name))
    assert_equal(trained)
    if name == PAPERS["hiresnet"]:
        # what its windows lack is computed once a level and side, not once a block
        nodes = [node.op_type for node in onnx.load(trained.onnx).graph.node]
        assert nodes.count("Mod") == 3 * 2 and len(nodes) < 800


@pytest.mark.skipif(not os.environ.get("MMRS_LONG_TESTS"), reason="minutes; MMRS_LONG_TESTS=1")
@pytest.mark.parametrize("name", PAPERS.values(), ids=PAPERS)
@pytest.mark.filterwarnings("ignore:For binary segmentation, we suggest:UserWarning")
def test_every_size_up_to_two_windows_is_the_same(name: str, tmp_path: Path) -> None:
    trained = make(tmp_path, narrow(name))
    sizes = np.random.default_rng(8).integers(1, 97, (120, 2))
    assert_equal(trained, [(1, 1), (96, 96), (1, 96), (96, 1), *map(tuple, sizes.tolist())])


# one small model for the rest ---------------------------------------------------------------------


def tiny(**changes: Any) -> Config:
    """Three convolutions, four bands of 16 bits read by their numbers, in windows of 32 px."""
    cfg = Config(
        {
            "default_scope": "mmseg",
            "crop_size": (32, 32),
            "model": {
                "type": "EncoderDecoder",
                "data_preprocessor": {"type": "mmrs.SegDataPreProcessor"},
                "backbone": {
                    "type": "UNet", "in_channels": 4, "base_channels": 4, "num_stages": 1,
                    "strides": (1,), "enc_num_convs": (2,), "dec_num_convs": (),
                    "downsamples": (), "enc_dilations": (1,), "dec_dilations": (),
                },
                "decode_head": {
                    "type": "FCNHead", "in_channels": 4, "in_index": 0, "channels": 4,
                    "num_convs": 0, "concat_input": False, "num_classes": 3,
                    "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
                },
                "test_cfg": {"mode": "whole"},
            },
            "test_dataloader": {
                "dataset": {"type": "mmrs.RasterSegDataset", "bands": [4, 1, 2, 3],
                            "scaling": {"type": "percentile"},
                            "pipeline": [{"type": "PackSegInputs"}]},
            },
        }
    )  # fmt: skip
    cfg.merge_from_dict(changes)
    return cfg


# a U-Net that halves once, and so takes even sides only
HALVING = {
    "model.backbone": {
        "type": "UNet", "in_channels": 3, "base_channels": 4, "num_stages": 2, "strides": (1, 1),
        "enc_num_convs": (1, 1), "dec_num_convs": (1,), "downsamples": (True,),
        "enc_dilations": (1, 1), "dec_dilations": (1,),
    },
    "model.decode_head.in_index": 1,
}  # fmt: skip


def rgb(**changes: Any) -> Config:
    """The same for pictures: three bands of 8 bits, normalised, through OpenCV's BGR."""
    changes = {
        "model.data_preprocessor": {
            "type": "SegDataPreProcessor", "bgr_to_rgb": True,
            "mean": [120.0, 110.0, 100.0], "std": [50.0, 60.0, 70.0], "pad_val": 7,
        },
        "model.backbone.in_channels": 3,
        "test_dataloader": None,
        "test_pipeline": [{"type": "LoadImageFromFile"}, {"type": "PackSegInputs"}],
        **changes,
    }  # fmt: skip
    return tiny(**changes)


CONTRACT = ChannelContract(
    4, "uint16", file_bands=(4, 1, 2, 3), band_names=("nir", "red", "green", "blue"),
    scaling=BandScaling("percentile", (100.0, 10.5, 0.0, 3.0), (900.0, 700.0, 333.0, 1e3), True),
    gsd_m=(0.3, 0.31), fills_gaps=True,
)  # fmt: skip
META = {
    "channel_contract": CONTRACT.to_meta(),
    "dataset_meta": {
        "classes": ("feld", "wásser", "道"),
        "palette": [[1, 2, 3], [40, 50, 60], [255, 0, 9]],
    },
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make(tmp_path_factory.mktemp("small"), tiny(), meta=META, seed=6)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make(tmp_path_factory.mktemp("picture"), rgb())


def test_metadata_is_the_loaded_segmentors(small: Trained) -> None:
    ours, theirs = small.torch_model, small.onnx_model
    for name in ("contract", "classes", "palette", "threshold", "window", "stride"):
        assert getattr(theirs, name) == getattr(ours, name), name
    assert theirs.contract == CONTRACT
    assert theirs.classes == ("feld", "wásser", "道")
    assert theirs.metadata.config == "config.py"
    digest = hashlib.sha256(small.checkpoint.read_bytes()).hexdigest()
    assert theirs.metadata.checkpoint_sha256 == digest


def test_metadata_is_plain_json_for_other_programs(small: Trained) -> None:
    props = {entry.key: entry.value for entry in onnx.load(small.onnx).metadata_props}
    info = json.loads(props["mmrs"])
    assert info["format"] == 1
    assert info["bands"] == [4, 1, 2, 3]
    assert (info["window"], info["stride"], info["overlap"]) == ([32, 32], [16, 16], [16, 16])
    assert info["classes"] == ["feld", "wásser", "道"]
    assert info["palette"] == [[1, 2, 3], [40, 50, 60], [255, 0, 9]]
    contract = info["channel_contract"]
    assert contract["dtype"] == "uint16" and contract["gsd_m"] == [0.3, 0.31]


def test_scaling_is_inside_the_graph(small: Trained) -> None:
    pixels = np.random.default_rng(2).integers(0, 3000, (2, 20, 24, 4), dtype=np.uint16)
    expected = small.torch_model(pixels)
    np.testing.assert_allclose(small.onnx_model(pixels), expected, rtol=0, atol=1e-5)
    assert np.abs(small.torch_model(pixels // 2) - expected).max() > 0.01


def test_order_mean_and_std_are_inside_the_graph(picture: Trained) -> None:
    assert picture.onnx_model.contract.order == "reversed"
    assert_equal(picture)


def test_the_ten_lines_of_the_docs_give_the_same(picture: Trained) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(picture.onnx)
    pixels = np.random.default_rng(3).integers(0, 256, (3, 40, 30), dtype=np.uint8)
    (found,) = session.run(None, {"pixels": pixels[None].astype("float32")})
    expected = picture.torch_model(pixels.transpose(1, 2, 0)[None])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("padding", [{"size": (40, 56)}, {"size_divisor": 16}])
def test_padding_of_the_preprocessor_is_inside_the_graph(padding: dict, tmp_path: Path) -> None:
    trained = make(tmp_path, rgb(**{"model.data_preprocessor.test_cfg": padding}))
    assert_equal(trained, [(40, 56), (21, 33), (64, 50), (1, 1)])


def test_one_output_and_a_threshold_give_two_probabilities(tmp_path: Path) -> None:
    cfg = rgb(**{"model.decode_head.num_classes": 2, "model.decode_head.out_channels": 1,
                 "model.decode_head.threshold": 0.4,
                 "model.decode_head.loss_decode.use_sigmoid": True})  # fmt: skip
    trained = make(tmp_path, cfg)
    assert trained.onnx_model.threshold == 0.4
    assert trained.onnx_model(np.zeros((1, 9, 9, 3), np.uint8)).shape == (1, 2, 9, 9)
    assert_equal(trained)


def test_pooling_to_a_grid_exports_too(tmp_path: Path) -> None:
    """PSPNet's pyramid, which PyTorch's exporters refuse at a free size."""
    cfg = rgb(**{"model.decode_head.type": "PSPHead", "model.decode_head.channels": 8})
    for key in ("num_convs", "concat_input"):
        cfg.model.decode_head.pop(key)
    assert_equal(make(tmp_path, cfg))


def test_a_network_of_even_sides_is_padded_inside_the_graph(tmp_path: Path) -> None:
    trained = make(tmp_path, rgb(**HALVING))
    assert trained.torch_model.find_size_divisor() == 2
    assert_equal(trained)
    # as a data preprocessor that pads does
    trained.torch_model.model.data_preprocessor.test_cfg = {"size_divisor": 2}
    assert_equal(trained)


def test_the_newer_exporter_gives_the_same(picture: Trained, tmp_path: Path) -> None:
    out = tmp_path / "dynamo.onnx"
    export_onnx(
        picture.config, picture.checkpoint, out, exporter="dynamo", check_sizes=[(33, 50), (1, 3)]
    )
    assert onnx.load(out).SerializeToString() != onnx.load(picture.onnx).SerializeToString()
    pixels = np.random.default_rng(4).integers(0, 256, (2, 30, 42, 3), dtype=np.uint8)
    expected = picture.torch_model(pixels)
    np.testing.assert_allclose(load_onnx_model(out)(pixels), expected, rtol=0, atol=1e-5)


def test_exporting_twice_gives_the_same_bytes(picture: Trained, tmp_path: Path) -> None:
    again = tmp_path / "again.onnx"
    seen: list[tuple[int, int]] = []
    export_onnx(
        picture.config, picture.checkpoint, again, check_sizes=[(9, 9)],
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(1, 2), (2, 2)]
    assert again.read_bytes() == picture.onnx.read_bytes()
    # nothing of this machine: no stack traces, no folders
    assert str(Path(__file__).parents[2]).encode() not in picture.onnx.read_bytes()


def test_window_stride_and_opset_are_those_asked_for(picture: Trained, tmp_path: Path) -> None:
    out = tmp_path / "other.onnx"
    export_onnx(
        picture.config, picture.checkpoint, out, window=(24, 40), stride=20, opset=17,
        check_sizes=[(9, 9)],
    )  # fmt: skip
    model = load_onnx_model(out)
    assert (model.window, model.stride) == ((24, 40), (20, 20))
    assert onnx.load(out).opset_import[0].version == 17
    export_onnx(picture.config, picture.checkpoint, out, window=24, check_sizes=[(9, 9)])
    assert load_onnx_model(out).stride == (12, 12)


@pytest.mark.parametrize("blend", ["cosine", "flat"])
def test_the_engine_gives_the_same_map_with_both(small: Trained, tmp_path: Path, blend) -> None:
    pixels = np.random.default_rng(5).integers(1, 1200, (75, 50, 4), dtype=np.uint16)
    pixels[10:30, 5:20] = 0
    scene = tmp_path / "scene.tif"
    profile = {"height": 75, "width": 50, "count": 4, "dtype": "uint16", "nodata": 0}
    grid = {"crs": "EPSG:32633", "transform": Affine(0.3, 0, 5e5, 0, -0.31, 5e6)}
    with rasterio.open(scene, "w", driver="GTiff", **profile, **grid) as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
    labels = []
    for name, model in (("torch", small.torch_model), ("onnx", small.onnx_model)):
        predict_scene(scene, tmp_path / f"{name}.tif", model, blend=blend, batch_size=3)
        with Raster(tmp_path / f"{name}.tif") as raster:
            labels.append(raster.read()[..., 0])
    assert min(np.bincount(labels[0].ravel(), minlength=256)[[1, 2, 255]]) > 100
    np.testing.assert_array_equal(*labels)


# refusals: one line, and what was there before stays ----------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> Path:
    out = tmp_path / "model.onnx"
    out.write_bytes(b"before")
    return out


def test_one_wrong_weight_is_not_published(
    picture: Trained, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*args: Any, **kwargs: Any) -> onnx.ModelProto:
        proto = onnx_graph.trace_graph(*args, **kwargs)
        weight = next(
            tensor for tensor in proto.graph.initializer if tensor.name.endswith("conv_seg.weight")
        )
        values = onnx.numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.05
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return proto

    monkeypatch.setattr(export_module, "trace_graph", damaged)
    with pytest.raises(OutputError) as caught:
        export_onnx(picture.config, picture.checkpoint, published, check_sizes=[(20, 31)])
    told = str(caught.value)
    assert told.startswith(f"{published}: not written: ONNX Runtime differs from PyTorch by 0.0")
    assert "at 20 x 31 px, batch 1" in told and "0.0001 is allowed" in told
    assert published.read_bytes() == b"before"
    assert list(published.parent.iterdir()) == [published]


@pytest.mark.parametrize("what", ["operator", "opset"])
def test_a_graph_that_cannot_be_exported_is_not_printed(
    picture: Trained, published: Path, monkeypatch: pytest.MonkeyPatch, capfd, what: str
) -> None:
    options: dict[str, Any] = {"opset": 99} if what == "opset" else {}
    if what == "operator":
        scale = onnx_graph.PixelsToProbabilities.scale
        monkeypatch.setattr(
            onnx_graph.PixelsToProbabilities, "scale",
            lambda self, x: torch.special.i0e(scale(self, x)),
        )  # fmt: skip
    with pytest.raises(ConfigError, match="cannot export it to opset"):
        export_onnx(picture.config, picture.checkpoint, published, **options)
    print("still heard")
    assert capfd.readouterr() == ("still heard\n", "")
    assert published.read_bytes() == b"before"


def test_a_size_that_was_fixed_while_tracing_is_not_published(
    picture: Trained, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = onnx_graph.PixelsToProbabilities.forward

    def fixed(self: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        out = forward(self, pixels)
        return nn.functional.interpolate(out, (int(pixels.shape[2]), int(pixels.shape[3])))

    monkeypatch.setattr(onnx_graph.PixelsToProbabilities, "forward", fixed)
    with pytest.raises(OutputError, match="by inf in probability at 20 x 31 px"):
        export_onnx(picture.config, picture.checkpoint, published, check_sizes=[(20, 31)])
    assert published.read_bytes() == b"before"


def test_a_size_that_one_of_both_does_not_take_is_told(picture: Trained) -> None:
    class Failing:
        contract = picture.torch_model.contract

        def __call__(self, windows: np.ndarray) -> np.ndarray:
            raise ValueError("no such size")

    fine = picture.torch_model
    for pair, name, fix in (
        ((Failing(), fine), "PyTorch", "name sizes that it takes by --check-sizes"),
        ((fine, Failing()), "ONNX Runtime", "try the other --exporter or another --opset"),
    ):
        with pytest.raises(OutputError) as caught:
            check_equal(*pair, sizes=[(4, 6)], where="x.onnx")
        assert str(caught.value) == (
            f"x.onnx: not written: {name} fails at 4 x 6 px, batch 1 (ValueError: no such size). "
            f"Fix: {fix}"
        )


@pytest.fixture(scope="module")
def with_crf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    cfg = rgb(**{"model.type": "mmrs.CRFEncoderDecoder", "model.crf": {"num_iters": 1}})
    return save(tmp_path_factory.mktemp("crf"), cfg)


def test_a_crf_is_left_out_only_where_asked(
    with_crf: tuple[Path, Path], published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=r"a dense CRF follows the network.*--without-crf"):
        export_onnx(*with_crf, published)
    assert published.read_bytes() == b"before"
    exported = export_onnx(*with_crf, published, without_crf=True, check_sizes=[(20, 31)])
    assert "without its dense CRF" in exported.summary()
    with caplog.at_level(logging.WARNING, "mmrs"):
        model = load_onnx_model(published)
    assert caplog.messages == [f"warning: {published}: was exported without its dense CRF"]
    pixels = np.random.default_rng(6).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    whole = load_window_model(*with_crf, device="cpu")
    assert np.abs(whole(pixels) - model(pixels)).max() > 0.01  # the CRF does something
    whole.model.refine_logits = lambda logits, *_: logits
    np.testing.assert_allclose(model(pixels), whole(pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"without_crf": True}, "--without-crf: the model has no CRF"),
        ({"stride": 33}, "1 <= stride <= window must hold, got stride (33, 33) and window (32, 32"),
        ({"window": 0}, "1 <= stride <= window must hold"),
        ({"opset": 9}, "opset must be >= 16, got 9"),
        ({"opset": 99}, "cannot export it to opset 99"),
        ({"exporter": "magic"}, "exporter must be one of trace, dynamo, got 'magic'"),
        ({"check_sizes": []}, "sizes to check must be >= 1 px, got []"),
        ({"check_sizes": [(0, 5)]}, "sizes to check must be >= 1 px, got [(0, 5)]"),
    ],
)
def test_options_without_a_meaning_are_refused(
    picture: Trained, published: Path, options: dict, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        export_onnx(picture.config, picture.checkpoint, published, **options)
    assert told in str(caught.value)
    assert published.read_bytes() == b"before"


def test_other_names_and_too_many_weights_are_refused(
    picture: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"x\.pt: the name must end with \.onnx"):
        export_onnx(picture.config, picture.checkpoint, tmp_path / "x.pt")
    monkeypatch.setattr(export_module, "MAX_BYTES", 100)
    with pytest.raises(OutputError, match="one ONNX file holds at most 2 GB"):
        export_onnx(picture.config, picture.checkpoint, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_preprocessor_is_refused(picture: Trained, tmp_path: Path) -> None:
    @MODELS.register_module(force=True)
    class OtherPreprocessor(nn.Module):
        pass

    model = load_window_model(picture.config, picture.checkpoint, device="cpu")
    model.model.data_preprocessor = OtherPreprocessor()
    with pytest.raises(ConfigError, match="type OtherPreprocessor cannot be exported"):
        onnx_graph.trace_graph(model, bands=3, opset=18, exporter="trace")


def test_without_onnx_the_mend_is_told() -> None:
    for name in ("onnx", "onnx_ir", "onnxscript"):
        error = explain_import_error(ModuleNotFoundError(f"No module named {name!r}", name=name))
        assert str(error) == (
            f"{name} is not installed; exporting needs it. Fix: pip install onnx onnx-ir "
            "onnxruntime onnxscript"
        )


# the tool -----------------------------------------------------------------------------------------


def test_the_tool_writes_and_tells(
    picture: Trained, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "é 中" / "model.onnx"
    argv = [picture.config, picture.checkpoint, out, "--check-sizes", "20x31", "--window", "16",
            "--stride", "8", "--opset", "18", "--cfg-options",
            "model.test_cfg.mode=whole"]  # fmt: skip
    assert run_tool("export", *argv) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{out}: 0.0 MB") and "in probability from PyTorch at 2 inputs" in told
    assert load_onnx_model(out).window == (16, 16)
    assert run_tool("export", *argv[:3], "--check-sizes", "20") == 2
    assert "--check-sizes takes ROWSxCOLS such as 61x97, got '20'" in capsys.readouterr().err
