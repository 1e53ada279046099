"""The command line of tools/vectorize.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apis.test_vectorize import make_map
from tests.apis.tiny_run import ROOT
from tests.geo.vector_features import read

TOOL = ROOT / "tools" / "vectorize.py"


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_map_becomes_polygons_and_a_table(tmp_path: Path) -> None:
    make_map(tmp_path / "é map.tif")
    out, areas = tmp_path / "é.geojson", tmp_path / "areas.csv"
    done = call(
        tmp_path / "é map.tif", out, "--areas", areas, "--min-area-m2", 80, "--simplify-m", 3
    )
    assert done.returncode == 0, done.stderr
    assert "| water" in done.stdout and f"{out}: " in done.stdout
    assert read(out)[2]["area_m2"].min() >= 80 and areas.is_file()


def test_an_error_is_a_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    make_map(tmp_path / "map.tif", reference=None)
    out = tmp_path / "map.geojson"
    out.write_text("old")
    done = call(tmp_path / "map.tif", out)
    assert done.returncode == 1 and out.read_text() == "old"
    assert done.stderr.splitlines()[-1].startswith(f"error: {out}: GeoJSON holds longitude")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("--min-area-m2", 1, "--min-area-px", 1), ("--simplify-m", 1, "--simplify-px", 1)]
)
def test_metres_and_pixels_exclude_each_other(tmp_path: Path, words) -> None:
    assert call(tmp_path / "map.tif", tmp_path / "a.gpkg", *words).returncode == 2


@pytest.mark.parametrize(
    ("word", "needs"), [("--drop-small", "--min-area-m2"), ("--simplify-outline", "--simplify-m")]
)
def test_a_word_that_changes_nothing_is_refused(tmp_path: Path, word: str, needs: str) -> None:
    done = call(tmp_path / "map.tif", tmp_path / "a.gpkg", word)
    assert done.returncode == 2 and f"{word} goes with {needs}" in done.stderr


def test_neither_torch_nor_openmmlab_is_imported(tmp_path: Path) -> None:
    make_map(tmp_path / "map.tif")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(TOOL), "map.tif", "map.gpkg"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "mmrs.geo.polygons.vectors" in imported
    assert not {"torch", "mmengine", "mmcv", "mmseg"} & imported
