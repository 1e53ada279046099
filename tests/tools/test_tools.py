"""The command lines: what every tool takes, and what it says when it cannot start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mmrs.errors import EnvironmentError
from tests.apis.tiny_run import ROOT, load_tool, run_tool

# MMSegmentation's own (tools/train.py and tools/test.py of 1.2.2)
FLAGS = {
    "train": ["--work-dir", "--resume", "--amp", "--cfg-options", "--launcher", "--local-rank"],
    "test": [
        *("--work-dir", "--out", "--show", "--show-dir", "--wait-time", "--cfg-options"),
        *("--launcher", "--tta", "--local-rank"),
    ],
}


@pytest.mark.parametrize("tool", FLAGS)
def test_the_flags_of_mmseg_are_there(tool, monkeypatch):
    seen = {}

    def parse(self, argv):
        seen["parser"] = self
        raise SystemExit(0)

    monkeypatch.setattr("argparse.ArgumentParser.parse_args", parse)
    with pytest.raises(SystemExit):
        load_tool(tool).main([])
    known = {o for action in seen["parser"]._actions for o in action.option_strings}
    assert set(FLAGS[tool]) <= known
    assert "--debug" in known and "--local_rank" in known


@pytest.mark.parametrize("tool", FLAGS)
def test_help_needs_no_library(tool):
    """Help comes at once, and where nothing else works."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "tools" / f"{tool}.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0 and "--cfg-options" in done.stdout
    heavy = {"torch", "mmengine", "mmcv", "mmseg", "numpy", "cv2"}
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported and not heavy & imported


@pytest.mark.parametrize("tool", FLAGS)
def test_wrong_usage_is_status_2(tool, capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(tool)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_word_that_is_no_override_is_status_2(capsys, tmp_path):
    assert run_tool("train", tmp_path / "x.py", "--cfg-options", "abc") == 2
    assert capsys.readouterr().err.startswith("error: --cfg-options: 'abc' is not key=value")


@pytest.mark.parametrize("tool", FLAGS)
def test_a_broken_environment_is_one_line(tool, capsys, monkeypatch, tmp_path):
    def broken():
        raise EnvironmentError("mmcv is not installed", fix="pip install onedl-mmcv")

    monkeypatch.setattr("mmrs.apis.environment.check_environment", broken)
    argv = [tmp_path / "x.py"] + ([tmp_path / "x.pth"] if tool == "test" else [])
    assert run_tool(tool, *argv) == 1
    told = capsys.readouterr().err
    assert told == "error: mmcv is not installed. Fix: pip install onedl-mmcv\n"


def test_without_mmrs_the_mend_is_told(tmp_path):
    """A copy of the tool where mmrs is not to be found."""
    for tool in FLAGS:
        script = tmp_path / f"{tool}.py"
        script.write_text((ROOT / "tools" / f"{tool}.py").read_text())
        # -S: no site-packages, -E: no PYTHONPATH
        done = subprocess.run(
            [sys.executable, "-S", "-E", str(script), "config.py"], capture_output=True, text=True
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: mmrs is not installed. Fix: pip install")


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh"])
def test_dist_scripts_ask_for_their_arguments(script):
    done = subprocess.run(
        ["bash", str(ROOT / "tools" / script)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2 and done.stderr.startswith("usage:")


@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        ("dist_train.sh", ["c.py", "2", "--amp"], ["train.py c.py --launcher pytorch --amp"]),
        (
            "dist_test.sh",
            ["c.py", "x.pth", "3", "--out", "a b"],
            ["test.py c.py x.pth --launcher pytorch --out a b", "--nproc_per_node=3"],
        ),
    ],
)
def test_dist_scripts_start_torchrun(tmp_path, script, arguments, expected):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", str(ROOT / "tools" / script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": str(python), "PORT": "29777"},
    )
    assert done.returncode == 0, done.stderr
    assert "-m torch.distributed.run" in done.stdout and "--master_port=29777" in done.stdout
    for words in expected:
        assert words in done.stdout
