"""tools/dataset_stats.py: numbers of bands and classes, their table, files and picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.models.losses.utils import get_class_weight
from PIL import Image

from mmrs.geo.band_stats import read_band_stats
from tests.apis.tiny_run import PALETTE, run_tool, write_config
from tests.datasets.test_raster_seg import PLACE
from tests.geo.test_raster import write_tiff


def rows(text: str) -> list[tuple[str, ...]]:
    return [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in text.splitlines()
        if line.startswith("|")
    ]


@pytest.fixture
def rasters(tmp_path):
    """A float image of 2 bands with a NaN stripe, and a label of 3 classes; a config of both."""
    image = np.random.default_rng(0).normal(50, 9, (20, 30, 2)).astype(np.float32)
    image[:, :3] = np.nan
    labels = np.zeros((20, 30, 1), np.uint8)
    labels[10:], labels[0] = 1, 255
    for folder in ("img", "ann"):
        (tmp_path / folder).mkdir()
    write_tiff(tmp_path / "img" / "é 中.tif", image, **PLACE)
    write_tiff(tmp_path / "ann" / "é 中.tif", labels, **PLACE)
    dataset = {
        "type": "mmrs.RasterSegDataset",
        "data_root": str(tmp_path),
        "images": "img",
        "labels": "ann",
        "bands": [2],
        "metainfo": {"classes": ("field", "water", "road"), "palette": PALETTE},
        "window_sampler": {"type": "random", "size": 8},
        "cache_dir": str(tmp_path / "cache"),
    }
    config = {"default_scope": "mmseg", "train_dataloader": {"dataset": dataset}}
    Config(config).dump(tmp_path / "c.py")
    return tmp_path, image, labels[..., 0]


def test_rasters_get_a_table_and_a_file_that_scaling_reads(rasters, capsys):
    root, image, _ = rasters
    assert run_tool("dataset_stats", root / "img", "--out", root / "s.json") == 0
    text = capsys.readouterr().out
    assert "over the 540 of 600 pixels that hold data (90.00 %)" in text
    assert "60 pixels are not finite though no nodata value declares them" in text
    valid = image[:, 3:].reshape(-1, 2).astype(float)
    stats = read_band_stats(root / "s.json")
    np.testing.assert_allclose(stats.mean, valid.mean(axis=0))
    assert [row[0] for row in rows(text)] == ["band", "1", "2"]
    assert rows(text)[1][4] == f"{valid[:, 0].mean():.6g}"


def test_a_config_of_rasters_gets_classes_weights_and_a_picture(rasters, capsys):
    root, image, labels = rasters
    files = {
        "weights": root / "w.json",
        "picture": root / "p.png",
        "out": root / "o.json",
    }
    flags = [word for flag, path in files.items() for word in (f"--{flag}", path)]
    assert run_tool("dataset_stats", root / "c.py", *flags) == 0
    text = capsys.readouterr().out
    valid = np.isfinite(image[..., 1])
    counts = [int((valid & (labels == i)).sum()) for i in range(3)]
    table = [row for row in rows(text) if row[1] in ("field", "water", "road")]
    assert [int(row[2]) for row in table] == counts == [9 * 27, 10 * 27, 0]
    assert f"({600 - sum(counts)} pixels are ignored)" in text
    kept = json.loads(files["out"].read_text())
    assert kept["classes"]["pixels"] == counts and kept["band_stats"]["bands"] == [2]
    weights = get_class_weight(str(files["weights"]))
    assert weights == kept["classes"]["weights"]["inverse"] and weights[2] == 0
    assert weights[0] / weights[1] == pytest.approx(10 / 9)
    picture = np.asarray(Image.open(files["picture"]).convert("RGB")).reshape(-1, 3)
    for colour in PALETTE[:2]:  # the third class has no pixel
        assert (picture == colour).all(axis=1).sum() > 500


def test_a_config_of_tiles_is_counted_as_its_pipeline_reads_it(data, capsys):
    assert (
        run_tool("dataset_stats", write_config(data), "--split", "val", "--method", "median") == 0
    )
    table = [row for row in rows(capsys.readouterr().out) if row[1] in ("field", "water", "road")]
    found = np.zeros(3, int)
    for path in (data / "ann" / "val").iterdir():
        found += np.bincount(np.asarray(Image.open(path)).ravel(), minlength=3)[:3]
    assert [int(row[2]) for row in table] == found.tolist()


def test_what_cannot_be_counted_is_one_line(rasters, capsys):
    root, *_ = rasters
    write_tiff(root / "o.tif", np.zeros((4, 4, 2), np.uint8), **PLACE)
    for argv, status, message in (
        ([root / "none.tif"], 1, "no such file"),
        ([root / "c.py", root / "d.py"], 2, "one config at a time"),
        ([root / "c.py", "--split", "val"], 1, "there is no val_dataloader"),
        ([root / "img", root / "o.tif"], 1, "2 bands of uint8, but"),
        ([root / "img", "--bands", "3"], 1, "it has 2 bands of float32, but bands [3]"),
        ([root / "img", "--weights", root / "w.json"], 1, "there are no labels to weigh"),
    ):
        assert run_tool("dataset_stats", *argv) == status
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ") and message in line
