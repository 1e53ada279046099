"""tools/train.py straight on rasters: a run, and what is told before one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from tests.apis.tiny_run import CLASSES, PALETTE, run_tool, tiny_config
from tests.datasets.test_raster_seg import PLACE
from tests.fake_data import make_labels
from tests.geo.test_raster import write_tiff


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One 4-band uint16 image with gaps for training, one for validation."""
    folder = tmp_path / "é 中 x"
    for seed, split in enumerate(("train", "val")):
        rng = np.random.default_rng(seed)
        labels = make_labels((40, 48), (0, 1, 2), rng)
        image = (labels[..., None].astype(int) * 900 + rng.integers(1, 400, (40, 48, 4))).astype(
            np.uint16
        )
        image[:, :5] = 0
        for kind in ("img", "ann"):
            (folder / kind / split).mkdir(parents=True)
        write_tiff(folder / "img" / split / "a.tif", image, nodata=0, **PLACE)
        write_tiff(folder / "ann" / split / "a.tif", labels[..., None], **PLACE)
    return folder


def config_of(root: Path, **changes) -> str:
    config = tiny_config(root)
    config["model"]["data_preprocessor"].update(mean=None, std=None, bgr_to_rgb=False)
    config["model"]["backbone"]["in_channels"] = 4
    for split in ("train", "val", "test"):
        folder = "train" if split == "train" else "val"
        sampler = {"type": "grid", "size": 32, "count_once": True}
        if split == "train":
            sampler = {"type": "random", "size": 32}
        config[f"{split}_dataloader"]["dataset"] = {
            "type": "mmrs.RasterSegDataset",
            "data_root": str(root),
            "images": f"img/{folder}",
            "labels": f"ann/{folder}",
            "metainfo": {"classes": CLASSES, "palette": PALETTE},
            "scaling": {"type": "percentile", "images": "img/train"},
            "window_sampler": sampler,
            "cache_dir": str(root / "cache"),
            "pipeline": [{"type": "RandomFlip", "prob": 0.5}, {"type": "PackSegInputs"}],
            **changes,
        }
    config["val_dataloader"]["dataset"]["pipeline"].pop(0)
    Config(config).dump(root / "c.py")
    return str(root / "c.py")


def test_a_run_on_rasters_counts_every_pixel_with_data_once(root, capsys):
    assert run_tool("train", config_of(root), "--work-dir", root / "w") == 0
    text = capsys.readouterr().out
    assert "loss:" in text
    table = text.rpartition("per class, in percent:")[2]
    pixels = re.findall(r"\| (?:field|water|road) .*\| +(\d+) \|", table)
    assert sum(map(int, pixels)) == 40 * (48 - 5)
    assert (root / "w" / "iter_2.pth").is_file()


def refused(root: Path, capsys: pytest.CaptureFixture, **changes) -> str:
    assert run_tool("train", config_of(root, **changes), "--work-dir", root / "w") == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and "Traceback" not in "".join(lines)
    return lines[-1]


def test_what_cannot_train_is_one_line_before_the_first_step(root, capsys):
    line = refused(root, capsys, images="img/none")
    assert "nothing that fits (RasterSegDataset.images)" in line
    line = refused(root, capsys, bands=[1, 5])
    assert "it has 4 bands of uint16, but bands [1, 5] are asked for" in line
    line = refused(root, capsys, bands=[1, 2, 3])
    assert "in_channels" in line and "gives 3" in line
    line = refused(root, capsys, window_sampler={"type": "grid", "size": 0})
    assert "RasterSegDataset.window_sampler.size: size must be a whole number" in line
    line = refused(root, capsys, band=[1, 2])
    assert "did you mean bands?" in line
    labels = np.zeros((40, 48, 1), np.uint8)
    labels[33, 41] = 7
    path = root / "ann" / "train" / "a.tif"
    write_tiff(path, labels, **PLACE)
    line = refused(root, capsys)
    assert f"{path}: value 7 at (row 33, col 41), but classes has 3 (0-2)" in line
    write_tiff(path, labels, crs="EPSG:32634", transform=PLACE["transform"])
    line = refused(root, capsys)
    assert "EPSG:32634" in line and "EPSG:32633" in line
    assert not (root / "w").exists()
