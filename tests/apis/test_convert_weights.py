"""Checkpoints into weights of a backbone: the tensors, the report, and all that is refused."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torchvision.models import resnet18, resnet34, resnet50

from mmrs.apis.channels.channel_contract import META_KEY, ChannelContract
from mmrs.apis.convert_weights import convert_weights
from mmrs.errors import CheckpointError, ConfigError, OutputError
from mmrs.version import __version__
from mmrs.weight_file import load_safetensors
from tests.apis.tiny_run import run_tool

ROOT = Path(__file__).parents[2]
NORM = {"type": "BN"}
HIRESNET = {
    "type": "mmrs.HiResNet", "widths": (8, 16, 24), "funnel_channels": 8, "stem_channels": 8,
    "head_dim": 8, "num_funnel_blocks": 1, "num_modules": (1, 1), "num_blocks": (1, 1),
    "window_size": 4,
}  # fmt: skip
HRNET_EXTRA = {
    f"stage{i + 1}": {
        "num_modules": 1, "num_branches": i + 1, "block": "BOTTLENECK" if i == 0 else "BASIC",
        "num_blocks": (1,) * (i + 1),
        "num_channels": (8,) if i == 0 else tuple(8 * 2**j for j in range(i + 1)),
    }
    for i in range(4)
}  # fmt: skip
# the two stages that HRNet shares with the base of Hi-ResNet's ablation
HRNET_LIKE = {
    "type": "mmrs.HiResNet", "stem": "hrnet", "block": "basic", "stem_channels": 64,
    "funnel_channels": 32, "num_funnel_blocks": 1, "widths": (8, 16, 32),
    "num_modules": (1, 1), "num_blocks": (1, 1),
}  # fmt: skip


def build(backbone: dict, **options: Any) -> nn.Module:
    init_default_scope("mmseg")
    return MODELS.build({**copy.deepcopy(backbone), **options})


def config(folder: Path, backbone: dict, **options: Any) -> Path:
    path = folder / "config.py"
    Config({"model": {"backbone": {**backbone, **options}}}).dump(path)
    return path


def shaken(module: nn.Module) -> dict[str, torch.Tensor]:
    """Its state with other numbers everywhere, statistics of the norms too."""
    return {
        name: value + 0.1 + torch.rand_like(value) if value.is_floating_point() else value + 5
        for name, value in module.state_dict().items()
    }


def moco_state(query: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As `mmrs.MoCoV2` names them."""
    state = {f"backbone.{name}": value for name, value in query.items()}
    state |= {f"encoder_k.backbone.{name}": value * 0 for name, value in query.items()}
    return state | {
        "projector.fc1.weight": torch.ones(2, 2), "encoder_k.projector.fc1.weight": torch.ones(2),
        "queue": torch.rand(4, 2), "queue_ids": torch.arange(4), "key_updates": torch.tensor(9),
    }  # fmt: skip


@pytest.fixture
def moco(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    contract = ChannelContract(bands=3, dtype="uint8", band_names=("red", "green", "blue"))
    content = {
        "state_dict": moco_state(shaken(build(HIRESNET))),
        "meta": {"iter": 2000, "epoch": 3, META_KEY: contract.to_meta()},
        "optimizer": {"state": {}},
    }
    torch.save(content, tmp_path / "iter_2000.pth")
    return tmp_path / "iter_2000.pth"


def query_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    start = "backbone."
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


def quiet(line: str) -> None:
    pass


def test_the_query_encoder_arrives_bit_for_bit_in_a_model_built_from_a_config(moco) -> None:
    out = moco.parent / "new folder" / "w.safetensors"
    lines: list[str] = []
    done = convert_weights(
        moco, out, backbone_config=config(moco.parent, HIRESNET), tell=lines.append
    )
    model = build(HIRESNET, init_cfg={"type": "Pretrained", "checkpoint": str(out)})
    model.init_weights()
    expected = query_of(moco)
    assert {*model.state_dict()} == {*expected}
    for name, value in model.state_dict().items():
        assert value.dtype == expected[name].dtype and torch.equal(value, expected[name]), name
    facts = json.loads(done.description.read_text())
    assert facts == json.loads(json.dumps(done.facts))
    assert facts["source"] == {
        "file": "iter_2000.pth", "sha256": hashlib.sha256(moco.read_bytes()).hexdigest()
    }  # fmt: skip
    assert (facts["kind"], facts["iteration"], facts["epoch"]) == ("mocov2", 2000, 3)
    assert facts["backbone"] == {"type": "mmrs.HiResNet", "config": "config.py", "bands": 3}
    assert facts["first_conv"] == {
        "name": "stem.0.1.weight", "bands": 3, "source_bands": 3, "told": None
    }  # fmt: skip
    assert facts["num_tensors"] == len(expected) and facts["mmrs"] == __version__
    assert facts["channel_contract"]["band_names"] == ["red", "green", "blue"]
    assert facts["missing"] == facts["unexpected"] == facts["starts_afresh"] == []
    counted = [name for name in expected if "num_batches" not in name]
    assert facts["matched"] == len(counted)
    assert f"  matched: {len(counted)}" in lines[2]
    assert lines[3].endswith("missing in the checkpoint: 0")


def test_the_same_checkpoint_gives_the_same_bytes(moco) -> None:
    folder, written = moco.parent, []
    for name in ("a", "b"):
        done = convert_weights(
            moco, folder / name / "w.safetensors", backbone_config=config(folder, HIRESNET),
            tell=quiet,
        )  # fmt: skip
        written.append((done.weights.read_bytes(), done.description.read_bytes()))
    assert written[0] == written[1]
    assert str(folder).encode() not in written[0][1], "where it lay says nothing of the weights"


@pytest.mark.parametrize("bands", [4, 1])
def test_other_bands_get_an_inflated_first_convolution(moco, bands: int) -> None:
    out, lines = moco.parent / "w.safetensors", []
    done = convert_weights(
        moco, out, backbone_config=config(moco.parent, HIRESNET), bands=bands, tell=lines.append
    )
    rgb = query_of(moco)["stem.0.1.weight"]
    if bands == 4:
        expected = torch.cat([rgb, rgb.mean(1, keepdim=True)], dim=1) * 3 / 4
    else:
        expected = rgb.sum(1, keepdim=True)
    found = load_safetensors(out)
    torch.testing.assert_close(found["stem.0.1.weight"], expected)
    # Hi-ResNet normalises the image first, with a number for each band
    afresh = [f"stem.0.0.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    assert done.facts["starts_afresh"] == afresh
    assert not any(name.startswith("stem.0.0.") for name in found), "its batch counter neither"
    assert done.facts["first_conv"]["bands"] == bands
    told = f"stem.0.1.weight: weights of 3 bands are inflated to {bands}"
    assert done.facts["first_conv"]["told"].startswith(told)
    assert any(told in line for line in lines)
    model = build(
        HIRESNET, in_channels=bands, init_cfg={"type": "Pretrained", "checkpoint": str(out)}
    )
    model.init_weights()
    torch.testing.assert_close(model.stem[0][1].weight, expected)
    assert (model.stem[0][0].weight == 1).all(), "started afresh"


def test_channels_other_than_those_of_training_are_told(moco) -> None:
    """As many bands in another order fit, and mean something else."""
    dataset = {"type": "mmrs.RasterSegDataset", "bands": [3, 2, 1], "scaling": {"type": "minmax"}}
    cfg = Config.fromfile(config(moco.parent, HIRESNET))
    cfg.train_dataloader = {"dataset": dataset}
    content = torch.load(moco, weights_only=True)
    told = {}
    for bands in ((1, 2, 3), (3, 2, 1)):
        contract = ChannelContract(bands=3, dtype="uint8", file_bands=bands, scaling_known=False)
        torch.save({**content, "meta": {META_KEY: contract.to_meta()}}, moco)
        lines: list[str] = []
        done = convert_weights(
            moco, moco.parent / "w.safetensors", backbone_config=cfg, tell=lines.append
        )
        told[bands] = [line for line in lines if "trained on" in line]
        assert len(done.facts["other_channels"]) == len(told[bands])
    assert told[3, 2, 1] == []
    (line,) = told[1, 2, 3]
    assert "trained on bands (1, 2, 3) of the file, in this order; " in line
    assert line.endswith(" has bands (3, 2, 1)")


def test_known_bands_may_lie_elsewhere(moco) -> None:
    """Blue, green, red and infrared images, and weights of red, green and blue."""
    folder, cfg = moco.parent, config(moco.parent, HIRESNET)
    options = {"backbone_config": cfg, "tell": quiet}
    done = convert_weights(
        moco, folder / "w.safetensors", bands=4, source_bands=(2, 1, 0, None), **options
    )
    rgb = query_of(moco)["stem.0.1.weight"]
    expected = torch.stack([rgb[:, 2], rgb[:, 1], rgb[:, 0], rgb.mean(1)], dim=1) * 3 / 4
    torch.testing.assert_close(load_safetensors(done.weights)["stem.0.1.weight"], expected)
    for bands, named, message in (
        (4, (2, 1, 0), "needs a number or none for each of 4 bands, got 3"),
        (
            4,
            (2, 1, 3, None),
            r"must be different .* from 0 to 2, or none, got \[2, 1, 3, None\]",
        ),
        (4, (1, 1, None, None), "must be different numbers from 0 to 2"),
        (3, (2, 1, 0), "nothing is inflated: weights and backbone have 3 bands"),
    ):
        with pytest.raises(ConfigError, match=f"--source-bands: {message}"):
            convert_weights(
                moco, folder / "x.safetensors", bands=bands, source_bands=named, **options
            )


def test_the_shipped_configs_meet(tmp_path: Path) -> None:
    """The backbone of the pre-training config for CPUs is that of the one to fine-tune."""
    init_default_scope("mmseg")
    cfg = Config.fromfile(ROOT / "configs/pretrain/hiresnet_tiny_mocov2_rasters.py")
    moco = MODELS.build({**cfg.model, "projector": None, "feat_dim": 144, "queue_len": 8})
    state = shaken(moco)
    torch.save({"state_dict": state, "meta": {"iter": 7}}, tmp_path / "iter_7.pth")
    out = tmp_path / "w.safetensors"
    tuned = ROOT / "configs/hiresnet/hiresnet_tiny_loveda.py"
    convert_weights(tmp_path / "iter_7.pth", out, backbone_config=tuned, tell=quiet)
    model = Config.fromfile(tuned).model
    model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": str(out)}
    segmentor = MODELS.build(model)
    segmentor.init_weights()
    for name, value in segmentor.backbone.state_dict().items():
        assert torch.equal(value, state[f"backbone.{name}"]), name


def test_a_config_of_other_bands_says_so_itself(moco) -> None:
    cfg = config(moco.parent, HIRESNET, in_channels=5)
    one = convert_weights(moco, moco.parent / "a.safetensors", backbone_config=cfg, tell=quiet)
    cfg = config(moco.parent, HIRESNET)
    two = convert_weights(
        moco, moco.parent / "b.safetensors", backbone_config=cfg, bands=5, tell=quiet
    )
    assert one.weights.read_bytes() == two.weights.read_bytes()


def test_converted_weights_can_be_converted_on(moco) -> None:
    """To four bands by way of three: `--from backbone`, found by itself."""
    folder, cfg = moco.parent, config(moco.parent, HIRESNET)
    convert_weights(moco, folder / "a.safetensors", backbone_config=cfg, tell=quiet)
    done = convert_weights(
        folder / "a.safetensors", folder / "b.safetensors", backbone_config=cfg, bands=4,
        tell=quiet,
    )  # fmt: skip
    assert done.facts["kind"] == "backbone" and done.facts["iteration"] is None
    direct = convert_weights(
        moco, folder / "c.safetensors", backbone_config=cfg, bands=4, tell=quiet
    )
    assert done.weights.read_bytes() == direct.weights.read_bytes()


def test_a_segmentor_gives_its_backbone(tmp_path: Path) -> None:
    state = shaken(build(HIRESNET))
    whole = {f"backbone.{k}": v for k, v in state.items()}
    torch.save({"state_dict": {**whole, "decode_head.bias": torch.ones(3)}}, tmp_path / "s.pth")
    done = convert_weights(
        tmp_path / "s.pth", tmp_path / "w.safetensors", source="segmentor",
        backbone_config=config(tmp_path, HIRESNET), tell=quiet,
    )  # fmt: skip
    found = load_safetensors(done.weights)
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert done.facts["channel_contract"] is None


def test_without_a_backbone_everything_is_taken_and_nothing_compared(moco) -> None:
    lines: list[str] = []
    done = convert_weights(moco, moco.parent / "w.safetensors", tell=lines.append)
    assert {*load_safetensors(done.weights)} == {*query_of(moco)}
    assert done.facts["backbone"] is None and "matched" not in done.facts
    assert "compared with no backbone" in lines[1]


# stock weights --------------------------------------------------------------------------------


def test_resnet_34_of_torchvision_computes_the_same_in_ours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stock = resnet34(weights=None).eval()
    torch.save(stock.state_dict(), tmp_path / "r34.pth")
    done = convert_weights(
        tmp_path / "r34.pth", tmp_path / "w.safetensors", backbone_type="mmrs.DilatedResNet",
        cfg_options={"depth": 34}, tell=quiet,
    )  # fmt: skip
    assert (done.facts["kind"], done.facts["missing"]) == ("torchvision", [])
    pretrained = {"type": "Pretrained", "checkpoint": str(done.weights)}
    model = build({"type": "mmrs.DilatedResNet", "depth": 34}, norm_cfg=NORM, init_cfg=pretrained)
    model.init_weights()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        x = stock.maxpool(stock.relu(stock.bn1(stock.conv1(image))))
        for stage in (stock.layer1, stock.layer2, stock.layer3, stock.layer4):
            x = stage(x)
        model.eval()
        torch.testing.assert_close(model(image)[-1], x)


def test_resnet_50_fits_rmnet_in_part_and_only_where_asked(tmp_path: Path) -> None:
    torch.save(resnet50(weights=None).state_dict(), tmp_path / "r50.pth")
    out, lines = tmp_path / "w.safetensors", []
    options = {"backbone_type": "mmrs.RMNetEncoder", "tell": lines.append}
    with pytest.raises(
        CheckpointError, match=r"layer1\.0\.conv1\.weight is 64x64x1x1 .* 64x64x3x3 .*--partial"
    ):
        convert_weights(tmp_path / "r50.pth", out, **options)
    assert not out.exists() and not out.with_suffix(".json").exists()
    assert any("of another shape" in line and "64x64x1x1, not 64x64x3x3" in line for line in lines)
    done = convert_weights(tmp_path / "r50.pth", out, partial=True, **options)
    # of ResNet-50's bottlenecks in layer 1: conv1 differs, conv3 with its norm has no place
    assert done.facts["other_shape"]["layer1.0.conv1.weight"] == [[64, 64, 1, 1], [64, 64, 3, 3]]
    assert "layer1.0.conv3.weight" in done.facts["unexpected"]
    model = build(
        {"type": "mmrs.RMNetEncoder"}, init_cfg={"type": "Pretrained", "checkpoint": str(out)}
    )
    model.init_weights()
    learnt = torch.load(tmp_path / "r50.pth", weights_only=True)
    assert torch.equal(model.layer3[0].conv2.weight, learnt["layer3.0.conv2.weight"])


def timm_resnet18d() -> dict[str, torch.Tensor]:
    """timm's names: three convolutions as ``conv1``, a pooling before each 1x1 shortcut."""
    state = {}
    for name, value in resnet18(weights=None).state_dict().items():
        head, found, tail = name.partition("downsample.")
        state[f"{head}downsample.{int(tail[0]) + 1}{tail[1:]}" if found else name] = value
    del state["conv1.weight"]
    widths = {0: (32, 3), 3: (32, 32), 6: (64, 32)}
    for place, (out, into) in widths.items():
        state[f"conv1.{place}.weight"] = torch.rand(out, into, 3, 3)
    norm = nn.BatchNorm2d(32).state_dict()
    for place in (1, 4):
        state |= {f"conv1.{place}.{name}": value for name, value in norm.items()}
    return state


def test_deep_stems_of_timm_are_renamed(tmp_path: Path) -> None:
    torch.save(timm_resnet18d(), tmp_path / "r18d.pth")
    done = convert_weights(
        tmp_path / "r18d.pth", tmp_path / "w.safetensors", backbone_type="ResNetV1d",
        cfg_options={"depth": 18}, bands=4, tell=quiet,
    )  # fmt: skip
    assert (done.facts["kind"], done.facts["missing"], done.facts["unexpected"]) == ("timm", [], [])
    assert done.facts["first_conv"]["name"] == "stem.0.weight"
    assert load_safetensors(done.weights)["stem.0.weight"].shape == (32, 4, 3, 3)


@pytest.fixture
def hrnet(tmp_path: Path) -> tuple[nn.Module, Path]:
    torch.manual_seed(2)
    model = build({"type": "HRNet", "extra": HRNET_EXTRA, "norm_cfg": NORM})
    model.load_state_dict(shaken(model))
    model.eval()
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "hrnet.pth")
    return model, tmp_path / "hrnet.pth"


def test_hrnet_in_ifw_hrnet_lacks_the_flows_alone(hrnet) -> None:
    model, path = hrnet
    backbone = {"type": "mmrs.IFWHRNet", "extra": HRNET_EXTRA, "norm_cfg": NORM}
    lines: list[str] = []
    done = convert_weights(
        path, path.parent / "w.safetensors", backbone_config=config(path.parent, backbone),
        tell=lines.append,
    )  # fmt: skip
    assert done.facts["missing"] and all("flow_warps" in k for k in done.facts["missing"])
    assert done.facts["unexpected"] == []
    assert any(line.startswith(f"  missing in the checkpoint: {len(done.facts['missing'])}: stage2")
               for line in lines)  # fmt: skip
    assert {*load_safetensors(done.weights)} == {*model.state_dict()}


def test_hrnet_in_hiresnet_computes_hrnets_first_three_stages(hrnet) -> None:
    model, path = hrnet
    done = convert_weights(
        path, path.parent / "w.safetensors", source="mmseg-hrnet",
        backbone_config=config(path.parent, HRNET_LIKE), tell=quiet,
    )  # fmt: skip
    assert done.facts["missing"] == []
    assert {n.partition(".")[0] for n in done.facts["unexpected"]} == {"transition3", "stage4"}
    pretrained = {"type": "Pretrained", "checkpoint": str(done.weights)}
    ours = build(HRNET_LIKE, init_cfg=pretrained)
    ours.init_weights()
    seen: list[Any] = []
    model.stage3.register_forward_hook(lambda module, inputs, output: seen.extend(output))
    with torch.no_grad():
        image = torch.rand(1, 3, 64, 64)
        model(image)
        for found, expected in zip(ours.eval()(image), seen, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# what is refused ------------------------------------------------------------------------------


@contextmanager
def untouched(out: Path) -> Iterator[None]:
    """What stands at OUT before, stands there after, and nothing beside it."""
    out.parent.mkdir(exist_ok=True)
    old = {out: b"old weights", out.with_suffix(".json"): b'{"tensors_sha256": "0"}'}
    for path, content in old.items():
        path.write_bytes(content)
    before = sorted(os.listdir(out.parent))
    yield
    assert {path: path.read_bytes() for path in old} == old
    assert sorted(os.listdir(out.parent)) == before


def test_a_cut_or_foreign_file_is_refused_and_the_old_weights_stay(moco) -> None:
    whole, out = moco.read_bytes(), moco.parent / "out" / "w.safetensors"
    for end in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        moco.write_bytes(whole[:end])
        with (
            untouched(out),
            pytest.raises(CheckpointError, match=r"iter_2000\.pth: it is damaged or no checkp"),
        ):
            convert_weights(moco, out, tell=quiet)
    moco.write_text("weights")
    with untouched(out), pytest.raises(CheckpointError, match="no checkpoint"):
        convert_weights(moco, out, tell=quiet)
    with untouched(out), pytest.raises(CheckpointError, match="no such file"):
        convert_weights(moco.with_name("none.pth"), out, tell=quiet)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(moco) -> None:
    sung, out = moco.parent / "sung", moco.parent / "out" / "w.safetensors"
    content = torch.load(moco, weights_only=True)
    torch.save({**content, "x": Canary(sung)}, moco)
    with untouched(out), pytest.raises(CheckpointError, match="could run code while loading"):
        convert_weights(moco, out, tell=quiet)
    assert not sung.exists()


def test_foreign_checkpoints_are_told_with_what_was_found_and_expected(moco) -> None:
    folder, out = moco.parent, moco.parent / "out" / "w.safetensors"
    cfg = config(folder, HIRESNET)
    tensor = torch.ones(2)
    query = query_of(moco)
    (folder / "deeper").mkdir()
    deeper = config(folder / "deeper", HIRESNET, num_blocks=(1, 2))
    for content, options, message in (
        ({"gru.weight": tensor}, {}, r"no backbone: its 1 tensors are named gru\.\*; expected the"),
        ({"gru.weight": tensor}, {"backbone_config": cfg}, r"no backbone: .*expected the names of"),
        ({"meta": {}}, {}, r"no weights \(found a dict of meta\); expected"),
        ({"backbone.gru.weight": tensor}, {"backbone_config": cfg},
         r"none of its 1 tensors \(segmentor\) has the name and shape of one of mmrs\.HiResNet"),
        (moco_state(query), {"backbone_config": deeper},
         r"another architecture: mmrs\.HiResNet has layer2\.0\.branches\.\S+, it has not"),
        (moco_state({**query, "extra.weight": tensor}), {"backbone_config": cfg},
         r"another architecture: it has extra\.weight, mmrs\.HiResNet has not\. Fix: "),
        (moco_state(query), {"source": "timm"}, "it is no timm checkpoint: .* those of mocov2"),
        (moco_state({**query, "stem.0.1.weight": query["stem.0.1.weight"] / 0}), {},
         r"stem\.0\.1\.weight holds numbers that are not finite"),
    ):  # fmt: skip
        torch.save(content, folder / "foreign.pth")
        with untouched(out), pytest.raises(CheckpointError, match=message) as told:
            convert_weights(folder / "foreign.pth", out, tell=quiet, **options)
        assert str(told.value).startswith(str(folder / "foreign.pth"))
        assert "\n" not in str(told.value) and "Fix: " in str(told.value)


def test_stock_hrnet_in_another_backbone_is_no_silent_part(hrnet) -> None:
    """Fewer or more modules, other blocks or another stem are another architecture."""
    _, path = hrnet
    out = path.parent / "out" / "w.safetensors"
    deep = copy.deepcopy(HRNET_EXTRA)
    deep["stage3"].update(num_modules=2)
    plain = {"type": "HRNet", "norm_cfg": NORM}
    flows = {"type": "mmrs.IFWHRNet", "norm_cfg": NORM}
    larger = path.with_name("larger.pth")
    torch.save(build({**plain, "extra": deep}).state_dict(), larger)
    cfg = config(path.parent, {**plain, "extra": HRNET_EXTRA})
    with untouched(out), pytest.raises(CheckpointError, match=r"it has stage3\.1\.\S+, HRNet has"):
        convert_weights(larger, out, backbone_config=cfg, tell=quiet)
    for backbone, message in (
        ({**plain, "extra": deep}, r"HRNet has stage3\.1\.branches\.\S+, it has not"),
        ({**flows, "extra": deep}, r"mmrs\.IFWHRNet has stage3\.1\.branches\.\S+, it has not"),
        ({**HRNET_LIKE, "block": "ia", "head_dim": 8}, r"of another architecture: "),
        # its first convolution has the name of a norm there
        (HIRESNET, r"none of its \d+ tensors \(mmseg-hrnet\) has the name and shape"),
    ):
        cfg = config(path.parent, backbone)
        with untouched(out), pytest.raises(CheckpointError, match=message):
            convert_weights(path, out, backbone_config=cfg, tell=quiet)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda weight: weight.to_sparse(), "sparse"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "quantized"),
        (lambda weight: weight.to("meta"), r"without numbers \(on the meta device\)"),
        (lambda weight: weight.to(torch.int8), "int8"),
        (lambda weight: weight.to(torch.complex64), "complex64"),
    ],
)
# PyTorch's own, of saving and loading such tensors
@pytest.mark.filterwarnings(
    "ignore:TypedStorage is dep", "ignore:Validating sparse tensor inv", "ignore:.*quantize_per_t"
)
def test_tensors_of_other_kinds_are_told(moco, change, kind: str) -> None:
    query = query_of(moco)
    torch.save({**query, "stem.0.1.weight": change(query["stem.0.1.weight"])}, moco)
    out = moco.parent / "out" / "w.safetensors"
    with (
        untouched(out),
        pytest.raises(CheckpointError, match=rf"stem\.0\.1\.weight is {kind}; expected plain"),
    ):
        convert_weights(moco, out, backbone_config=config(moco.parent, HIRESNET), tell=quiet)


@pytest.mark.parametrize("shape", [(), (8,), (8, 0, 3, 3)])
def test_a_first_convolution_of_a_strange_shape_is_another_architecture(moco, shape) -> None:
    query = query_of(moco)
    torch.save({**query, "stem.0.1.weight": torch.zeros(shape)}, moco)
    with pytest.raises(CheckpointError, match=r"architecture: stem\.0\.1\.weight is .* 8x3x3x3"):
        convert_weights(
            moco, moco.parent / "w.safetensors",
            backbone_config=config(moco.parent, HIRESNET), tell=quiet,
        )  # fmt: skip


def test_partial_takes_what_fits_of_another_architecture(moco) -> None:
    done = convert_weights(
        moco, moco.parent / "w.safetensors",
        backbone_config=config(moco.parent, HIRESNET, num_blocks=(1, 2)), partial=True, tell=quiet,
    )  # fmt: skip
    assert {*load_safetensors(done.weights)} == {*query_of(moco)}
    assert done.facts["missing"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": 4}, "--bands: only a backbone says"),
        ({"cfg_options": {"depth": 18}}, "--cfg-options: only a backbone says"),
        ({"bands": 0, "backbone_type": "mmrs.HiResNet"}, "--bands: must be at least 1, got 0"),
        ({"backbone_config": "a.py", "backbone_type": "ResNet"}, "name one of them"),
        ({"backbone_config": "none.py"}, "no such config file"),
        (
            {"backbone_type": "mmrs.HiResNets"},
            r"HiResNets: 'mmrs\.HiResNets' is no registered model\. Fix: write 'mmrs\.HiResNet'",
        ),
        (
            {"backbone_type": "mmrs.DilatedResNet"},
            r"--type mmrs\.DilatedResNet: DilatedResNet needs depth.*by --cfg-options",
        ),
        ({"backbone_type": "mmrs.HiResNet", "cfg_options": {"blocks": "x"}}, "blocks"),
        (
            {"backbone_config": Config({"model": {"backbone": {"type": "mmrs.HiRseNet"}}})},
            r"model\.backbone\.type: 'mmrs\.HiRseNet' is no registered model",
        ),
        ({"backbone_config": Config({"dataset": 3})}, r"has no model\.backbone"),
    ],
)
def test_a_backbone_that_cannot_be_built_is_told_by_its_option(moco, options, message) -> None:
    out = moco.parent / "out" / "w.safetensors"
    with untouched(out), pytest.raises(ConfigError, match=message):
        convert_weights(moco, out, tell=quiet, **options)


def test_what_stands_in_the_way_is_told(moco) -> None:
    folder = moco.parent
    with pytest.raises(OutputError, match=r"must end in \.safetensors, ends in \.pth\. Fix: write"):
        convert_weights(moco, folder / "w.pth", tell=quiet)
    done = convert_weights(moco, folder / "w.safetensors", tell=quiet)
    with pytest.raises(OutputError, match="is the checkpoint itself"):
        convert_weights(done.weights, done.weights, tell=quiet)
    notes = folder / "notes.json"
    notes.write_text("[1, 2]")
    with pytest.raises(OutputError, match=r"notes\.json: exists, and is no description"):
        convert_weights(moco, folder / "notes.safetensors", tell=quiet)
    assert notes.read_text() == "[1, 2]"


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes of a file (Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_weights(moco) -> None:
    out = moco.parent / "out" / "w.safetensors"
    for limit in (0, 1000, 5000):
        with (
            untouched(out),
            file_size_limit(limit),
            pytest.raises(
                OutputError, match=r"w\.safetensors: cannot be written \(File too large, [\d,]+ b"
            ),
        ):
            convert_weights(moco, out, tell=quiet)
    convert_weights(moco, out, tell=quiet)
    assert {*load_safetensors(out)} == {*query_of(moco)}


def test_the_tool_reports_and_ends_with_a_status(moco, capsys) -> None:
    folder, cfg = moco.parent, str(config(moco.parent, HIRESNET))
    out = folder / "w.safetensors"
    assert run_tool("convert_weights", moco, out, "--backbone-config", cfg, "--bands", 4,
                    "--from", "mocov2", "--prefix", "backbone",
                    "--source-bands", "2", "1", "0", "none") == 0  # fmt: skip
    told = capsys.readouterr().out
    assert (
        "mocov2 after 2,000 iterations" in told
        and "inflated to 4" in told
        and "starts afresh: 4" in told
    )
    assert f"{out}: " in told
    deeper = ["--backbone-config", cfg, "--cfg-options", "model.backbone.num_blocks=(1,2)"]
    assert run_tool("convert_weights", moco, out, *deeper) == 1
    captured = capsys.readouterr()
    assert "missing in the checkpoint: " in captured.out
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert run_tool("convert_weights", moco, out, *deeper, "--partial") == 0
    capsys.readouterr()
    assert run_tool("convert_weights", moco, out, "--type", "mmrs.HiResNet") == 1
    assert "another shape" in capsys.readouterr().out
