from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmrs.apis.cli import run
from mmrs.geo.raster import Raster

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "predict.py"
CLASSES = ("bare", "grown", "built")


def load_main():
    spec = importlib.util.spec_from_file_location("predict_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, a config and a checkpoint of a one-layer model."""
    folder = tmp_path_factory.mktemp("é 中")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "scene.png"), pixels)
    cv2.imwrite(str(folder / "grey.png"), pixels[..., 0])
    cfg = Config(
        {
            "default_scope": "mmseg",
            "crop_size": (32, 32),
            "model": {
                "type": "EncoderDecoder",
                "data_preprocessor": {"type": "SegDataPreProcessor", "bgr_to_rgb": True},
                "backbone": {"type": "mmseg.UNet", "base_channels": 4, "num_stages": 1,
                             "strides": (1,), "enc_num_convs": (1,), "dec_num_convs": (),
                             "downsamples": (), "enc_dilations": (1,), "dec_dilations": ()},
                "decode_head": {"type": "FCNHead", "in_channels": 4, "in_index": 0, "channels": 4,
                                "num_convs": 0, "concat_input": False, "num_classes": 3,
                                "loss_decode": {"type": "CrossEntropyLoss",
                                                "avg_non_ignore": True}},
                "test_cfg": {"mode": "whole"},
            },
            "test_pipeline": [{"type": "LoadImageFromFile"}, {"type": "PackSegInputs"}],
        }
    )  # fmt: skip
    cfg.dump(folder / "config.py")
    init_default_scope("mmseg")
    model = MODELS.build(cfg.model)
    meta = {"dataset_meta": {"classes": CLASSES, "palette": [[9, 9, 9], [8, 200, 8], [200, 8, 8]]}}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, folder / "weights.pth")
    return folder


def arguments(folder: Path, out: Path, **replaced: str) -> list[str]:
    given = {"image": "scene.png", "config": "config.py", "checkpoint": "weights.pth", **replaced}
    return [*(str(folder / given[key]) for key in ("image", "config", "checkpoint")), str(out)]


def test_a_picture_becomes_a_map_and_an_overlay(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, overlay = tmp_path / "map.tif", tmp_path / "page.png"
    options = ["--window", "16", "--overlap", "4", "--batch-size", "3", "--device", "cpu"]
    status = run(load_main(), [*arguments(folder, out), *options, "--overlay", str(overlay)])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    assert shown.out.startswith(f"{out}: ")
    # steps of 12: rows 0, 12, 24 and columns 0, 12, 24, 34
    assert set(shown.out.replace(",", " ").split()) & set(CLASSES)
    assert "windows: 12/12" in shown.err
    with Raster(out) as raster:
        assert (raster.height, raster.width) == (40, 50)
        assert set(np.unique(raster.read())) <= {0, 1, 2}
    assert overlay.is_file()


@pytest.mark.parametrize(
    ("replaced", "options", "line"),
    [
        ({"image": "no.tif"}, [], "no.tif: no such file"),
        ({"image": "weights.pth"}, [], "weights.pth: not a raster that can be read"),
        ({"image": "grey.png"}, [], "grey.png: 1 band of uint8 found, 3 bands of uint8 expected"),
        ({"config": "no.py"}, [], "no.py: there is no such config file"),
        ({"checkpoint": "no.pth"}, [], "no.pth: there is no such file"),
        ({"checkpoint": "scene.png"}, [], "scene.png: "),
        ({}, ["--stride", "40"], "stride must be <= window (32), got 40"),
        ({}, ["--overlap", "32"], "overlap must be from 0 to below the window (32 x 32), got 32"),
        ({}, ["--overlap", "-1"], "overlap must be from 0"),
        ({}, ["--overlay", "/dev/null/page.png"], "page.png: cannot make its folder"),
        ({}, ["--overlay", "page.jpg"], "page.jpg: the overlay is a PNG"),
        ({}, ["--cfg-options", "model.decode_head.num_classes=5"], "weights.pth: decode_head."),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_old_map(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    replaced: dict,
    options: list[str],
    line: str,
) -> None:
    out = tmp_path / "map.tif"
    out.write_text("old")
    argv = [*arguments(folder, out, **replaced), "--device", "cpu", *options]
    assert run(load_main(), argv) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith("error: ")
    assert line in told[-1]
    # beside it, at most a warning that is no error
    assert all(other.startswith("warning: ") for other in told[:-1])
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_stride_and_overlap_exclude_each_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*arguments(folder, tmp_path / "map.tif"), "--stride", "8", "--overlap", "8"]
    with pytest.raises(SystemExit) as caught:
        run(load_main(), argv)
    assert caught.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_the_crf_and_its_options_change_the_map(folder: Path, tmp_path: Path) -> None:
    maps = []
    for options in ([], ["--crf"], ["--crf", "--crf-scale", "0.05"]):
        assert not load_main()([*arguments(folder, tmp_path / "map.tif"), *options])
        with Raster(tmp_path / "map.tif") as raster:
            maps.append(raster.read())
    assert (maps[0] != maps[1]).any()
    assert (maps[1] != maps[2]).any()


def test_crf_options_are_handed_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict = {}
    monkeypatch.setattr(
        "mmrs.apis.predict_command.predict_command", lambda *_, **kw: seen.update(kw)
    )
    out = folder / "none.tif"
    load_main()([*arguments(folder, out), "--crf", "--crf-halo", "9", "--crf-scale", "0.5"])
    assert (seen["crf"].halo, seen["crf"].color_scale) == (9, 0.5)
    load_main()(arguments(folder, out))
    assert seen["crf"] is None


def test_crf_options_alone_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_main()([*arguments(folder, folder / "none.tif"), "--crf-halo", "9"])
    assert "--crf-halo and --crf-scale go with --crf" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(TOOL), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert "--overlap" in done.stdout
    assert " torch" not in done.stderr


def test_files_may_stand_behind_two_dashes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, config, weights = arguments(folder, tmp_path / "map.tif")[:3]
    (tmp_path / "-scene.png").write_bytes(Path(image).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run(load_main(), ["--device", "cpu", "--", "-scene.png", config, weights, "-m.tif"]) == 0
    assert (tmp_path / "-m.tif").is_file()
