"""The whole command: lists, summaries, statuses, what is refused before a model is loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrs.apis.cli import EXIT_USAGE, run
from mmrs.apis.model_choice import ModelChoice
from mmrs.apis.window.model_identity import file_identity
from mmrs.geo.raster import Raster
from tests.apis.onnx.test_onnx_model import BLOCK, HEAVY, softmax_model, write
from tests.tools.test_predict_tool import TOOL, load_main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "model.onnx", softmax_model())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scenes in a tree."""
    rng = np.random.default_rng(0)
    for name in ("in/a/x.png", "in/b/x.png", "in/y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(1, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def labels(path: Path) -> np.ndarray:
    with Raster(path) as raster:
        return raster.read()[..., 0]


def expected(image: Path) -> np.ndarray:
    return np.asarray(Image.open(image)).argmax(axis=-1)


def test_a_tree_becomes_maps_pictures_and_a_line_each(folder: Path, onnx_model: Path, capsys):
    # options may stand between the files
    argv = [str(folder / "in"), "--device", "cpu", "--overlay", str(folder / "pictures")]
    argv += [str(onnx_model), "--entropy", str(folder / "out")]
    assert run(load_main(), argv) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, name in zip(lines, ("y", "a/x", "b/x"), strict=False):
        assert line.startswith(f"{folder}/out/{name}.tif: ")
        np.testing.assert_array_equal(
            labels(folder / "out" / f"{name}.tif"), expected(folder / "in" / f"{name}.png")
        )
        assert (folder / "out" / f"{name}_entropy.tif").is_file()
        assert (folder / "pictures" / f"{name}.png").is_file()
    assert lines[3].startswith("3 scenes, 0.0 Mpx, ") and lines[3].endswith(" Mpx/s")
    assert len(lines) == 4


def test_resume_leaves_what_is_finished(folder: Path, onnx_model: Path, capsys):
    argv = [str(folder / "in"), str(onnx_model), str(folder / "out"), "--device", "cpu"]
    assert run(load_main(), argv) == 0
    first = capsys.readouterr().out.splitlines()
    (folder / "out" / "y.tif").unlink()
    stamp = (folder / "out" / "a" / "x.tif").stat().st_mtime_ns
    assert run(load_main(), [*argv, "--resume"]) == 0
    again = capsys.readouterr().out.splitlines()
    assert again[:3] == first[:3]
    assert (folder / "out" / "a" / "x.tif").stat().st_mtime_ns == stamp
    assert (folder / "out" / "y.tif").is_file()


def test_skipped_scenes_are_told_and_the_status_is_not_0(
    folder: Path, onnx_model: Path, capsys, caplog
):
    (folder / "in" / "a" / "bad.tif").write_text("no raster")
    damaged = folder / "in" / "b" / "x.png"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    argv = [str(folder / "in"), str(onnx_model), str(folder / "out"), "--device", "cpu"]
    assert run(load_main(), argv) == 1
    told = capsys.readouterr()
    assert "bad.tif: not a raster" in told.err.splitlines()[-1] and told.out == ""
    assert run(load_main(), [*argv, "--skip-bad"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[-1].startswith("2 scenes, 2 skipped (see above; exit status 1), ")
    skipped = [line for line in caplog.messages if line.startswith("warning: skipped: ")]
    assert len(skipped) == 2
    assert "bad.tif" in skipped[0] and "b/x.png" in skipped[1]


@pytest.mark.parametrize(
    ("argv", "status", "line"),
    [
        (
            ["IN", "a.py", "OUT"],
            EXIT_USAGE,
            "a config and a checkpoint, or one .onnx file, got a.py",
        ),
        (["IN", "a.py", "b.pth", "c.pth", "OUT"], EXIT_USAGE, "got a.py b.pth c.pth"),
        (["a.tif", "b.tif", "MODEL", "OUT"], EXIT_USAGE, "a model is a config and a checkpoint"),
        (["a.tif", "b.tif", "a.py", "b.pth", "OUT"], EXIT_USAGE, "several scenes in quotes"),
        (["IN", "b.pth", "a.py", "OUT"], EXIT_USAGE, "the config comes first, got b.pth a.py"),
        (["IN", "gone.onnx", "OUT", "--min-area-px", "4"], EXIT_USAGE, "add --vectors gpkg"),
        (["IN", "gone.onnx", "OUT", "--simplify-m", "1"], EXIT_USAGE, "add --vectors gpkg"),
        (["IN", "MODEL", "OUT", "--amp", "bf16"], EXIT_USAGE, "--amp: has no meaning for an .onnx"),
        (["IN", "MODEL", "OUT", "--compile"], EXIT_USAGE, "--compile: has no meaning"),
        (["IN", "gone.onnx", "map.tif"], 1, "map.tif: several scenes need a folder"),
        (["IN/*.jp2", "gone.onnx", "OUT"], 1, "*.jp2: no scene: searched for .tif"),
        (["IN/y.png", "gone.onnx", "map.png"], 1, "map.png: a class map is a GeoTIFF"),
        (["IN", "gone.onnx", "OUT", "--overlay", "a.png"], 1, "several scenes need a folder for"),
        (["IN", "gone.onnx", "OUT", "--overlay", "IN"], 1, "y.png: would overwrite another file"),
        (["IN/y.png", "gone.onnx", "OUT", "--overlay", "IN/y.png"], 1, "y.png: would overwrite"),
        (["IN/y.png", "gone.onnx", "OUT", "--overlay", "a.gif"], 1, "the overlay is a PNG"),
        (["IN/y.png", "gone.onnx", "OUT"], 1, "gone.onnx: No such file"),
        (["IN", "gone.onnx", "OUT", "--batch-size", "0"], 1, "--batch-size: must be >= 1, got 0"),
        (["IN", "gone.onnx", "OUT", "--window", "-4"], 1, "--window: must be >= 1, got -4"),
        (["IN", "gone.onnx", "OUT", "--min-area-m2", "-1"], 1, "min_area_m2 must be"),
        (["IN", "MODEL", "OUT", "--launcher", "pytorch"], 1, "not started by torchrun. Fix: tor"),
        (["IN", "MODEL", "OUT", "--scales", "0"], 1, "scales must be numbers > 0"),
    ],
)
def test_what_cannot_mean_anything_is_one_line(
    folder: Path, onnx_model: Path, capsys, argv: list[str], status: int, line: str
):
    places = {"IN": str(folder / "in"), "OUT": str(folder / "out"), "MODEL": str(onnx_model)}
    for name, place in places.items():
        argv = [word.replace(name, place) if word.startswith(name) else word for word in argv]
    assert run(load_main(), [*argv, "--device", "cpu"]) == status
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith("error: ") and line in told[0], told
    assert not (folder / "out").exists()


def test_an_onnx_model_needs_neither_torch_nor_mmseg(folder: Path, onnx_model: Path):
    code = f"""
import runpy
sys.argv = {[str(TOOL), str(folder / "in"), str(onnx_model), str(folder / "out"), "--resume",
             "--tta", "flips", "--confidence", "--overlay", str(folder / "pictures")]}
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print(sorted(name for name in sys.modules if name.partition(".")[0] in BLOCKED))
"""  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", f"BLOCKED = {HEAVY}\n{BLOCK}\n{code}"],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("y", "a/x", "b/x"):
        np.testing.assert_array_equal(
            labels(folder / "out" / f"{name}.tif"), expected(folder / "in" / f"{name}.png")
        )


def test_ctrl_c_ends_with_130_and_sigterm_with_143_before_a_model_is_there(folder: Path):
    code = """
import sys
from mmrs.apis.cli import run
from mmrs.apis.model_choice import ModelChoice
from mmrs.apis.window.model_identity import file_identity
from mmrs.apis.predict_command import predict_command
import mmrs.apis.predict_command as command
def wait(*_):
    print("ready", flush=True)
    import time
    time.sleep(60)
command.expand_scenes = wait
sys.exit(run(lambda _: predict_command("x", "y", ModelChoice(["m.onnx"])), []))
"""
    for number, status, line in (
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "term"),
    ):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
        assert process.returncode == status
        assert told.startswith(line) and len(told.splitlines()) == 1


def test_the_identity_tells_models_apart(onnx_model: Path, tmp_path: Path):
    def identity(path: Path, **how) -> str:
        model = ModelChoice([str(path)], device="cpu", **how).load()
        return json.dumps(model.identity, sort_keys=True)

    other = write(tmp_path / "model.onnx", softmax_model())
    assert identity(onnx_model) == identity(other)  # wherever it lies
    changed = write(tmp_path / "changed.onnx", softmax_model_of_other_scale())
    found = {identity(onnx_model), identity(changed), identity(other, tta="flips"),
             identity(other, tta="d4"), identity(other, scales=[0.5, 1.0])}  # fmt: skip
    assert len(found) == 5


def test_a_file_in_the_home_folder_has_an_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "weights.pth").write_bytes(b"abc")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert file_identity("~/weights.pth") == file_identity(tmp_path / "weights.pth")


def test_a_name_that_is_not_utf8_is_one_line(folder: Path, onnx_model: Path, capsys):
    odd = os.fsencode(folder / "in") + b"/stra\xdfe.png"
    with open(odd, "wb") as file:
        file.write((folder / "in" / "y.png").read_bytes())
    argv = [str(folder / "in"), str(onnx_model), str(folder / "out"), "--device", "cpu"]
    assert run(load_main(), argv) == 1
    assert "its name is not UTF-8. Fix: rename it" in capsys.readouterr().err
    assert run(load_main(), [*argv, "--skip-bad"]) == 1
    assert "1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("gpus", "asked", "device"),
    [(0, None, None), (4, None, "cuda:1"), (2, "cuda", "cuda:1"), (4, "cuda:3", "cuda:3"),
     (4, "cpu", "cpu")],
)  # fmt: skip
def test_processes_of_a_machine_share_its_gpus_and_cores(
    monkeypatch: pytest.MonkeyPatch, gpus: int, asked: str | None, device: str | None
):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    for name, value in (("LOCAL_RANK", "5" if gpus == 4 else "1"), ("LOCAL_WORLD_SIZE", "6")):
        monkeypatch.setenv(name, value)
    choice = ModelChoice(["m.onnx"], device=asked).on_own_device()
    assert (choice.device, choice.threads) == (device, 2)


def softmax_model_of_other_scale():
    from onnx import numpy_helper

    proto = softmax_model()
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32(1 / 16), "factor"))
    return proto
