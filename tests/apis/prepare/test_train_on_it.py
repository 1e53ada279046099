"""From a miniature of LoveDA's archives to trained steps, by two commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apis.prepare import archives
from tests.apis.tiny_run import ROOT, run_tool


# the hook is in the config of every run, and draws nothing there
@pytest.mark.filterwarnings("ignore:The draw is False:UserWarning")
def test_loveda_from_its_zips_to_two_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = archives.make_loveda_zips(tmp_path / "zips", size=64, per_half=2)
    out = tmp_path / "loveDA"
    assert run_tool("prepare_dataset", "loveda", source, out, "--workers", "0") == 0
    options = [
        "train_dataloader.batch_size=2",
        *(f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")),
        *(f"{part}_dataloader.persistent_workers=False" for part in ("train", "val", "test")),
        *(f"{part}_dataloader.dataset.data_root={out}" for part in ("train", "val", "test")),
        "train_cfg.max_epochs=1",
        "train_cfg.val_interval=1",
        "default_hooks.logger.interval=1",
    ]
    status = run_tool(
        "train",
        ROOT / "configs/hiresnet/hiresnet_tiny_loveda.py",
        "--work-dir",
        tmp_path / "work",
        "--cfg-options",
        *options,
    )
    shown = capsys.readouterr()
    assert status == 0, shown.err[-2000:]
    assert list((tmp_path / "work").glob("epoch_1.pth"))
