"""tools/check_dataset.py as it is called: what it prints, draws and returns."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.apis.tiny_run import run_tool, write_config, write_pairs


@pytest.fixture
def data(tmp_path):
    write_pairs(tmp_path, "train", 4)
    write_pairs(tmp_path, "val", 3, seed=1)
    return tmp_path


def spoil(data, count):
    for index in range(count):
        path = data / "ann" / "train" / f"t{index}.png"
        Image.fromarray(np.full((32, 32), 7, np.uint8)).save(path)


def test_a_clean_set_ends_with_0_and_a_table(data, capsys):
    assert run_tool("check_dataset", write_config(data)) == 0
    out = capsys.readouterr().out
    assert "0 errors, 0 warnings, 0 notes (7 of 7 pairs read" in out
    assert "labels of train_dataloader.dataset (4 of 4 files read" in out
    assert "test_dataloader" not in out, "the same data set as val, told twice"


def test_errors_end_with_1_and_are_all_told(data, capsys):
    write_pairs(data, "train", 12)
    spoil(data, 12)
    assert run_tool("check_dataset", write_config(data)) == 1
    short = capsys.readouterr().out
    assert "12 errors: label ids that are no class" in short
    assert "... and 2 more (--all shows them)" in short
    assert run_tool("check_dataset", write_config(data), "--all") == 1
    assert capsys.readouterr().out.count("error: ") == 12


def test_split_chooses(data, capsys):
    spoil(data, 1)
    assert run_tool("check_dataset", write_config(data), "--split", "val") == 0
    assert "train_dataloader" not in capsys.readouterr().out


def test_a_split_that_the_config_lacks_is_told(data, capsys):
    config = data / "part.py"
    config.write_text("train_dataloader = dict(dataset=dict(type='BaseSegDataset'))\n")
    assert run_tool("check_dataset", str(config), "--split", "val") == 1
    assert "there is no val_dataloader. Fix: choose from train" in capsys.readouterr().err


def test_seconds_bound_the_reading_and_what_is_left_is_told(data, capsys):
    write_pairs(data, "train", 40)
    assert run_tool("check_dataset", write_config(data), "--seconds", "0", "--workers", "1") == 0
    out = capsys.readouterr().out
    assert "note: train_dataloader.dataset: " in out and "pairs were not read" in out


def test_threads_are_counted_from_one(data, capsys):
    assert run_tool("check_dataset", write_config(data), "--workers", "-1") == 2
    assert "error: --workers must be >= 1, got -1" in capsys.readouterr().err


def test_same_image_in_train_and_val_is_a_warning(data, capsys):
    same = (data / "img" / "train" / "t1.png").read_bytes()
    (data / "img" / "val" / "t2.png").write_bytes(same)
    assert run_tool("check_dataset", write_config(data)) == 0
    out = capsys.readouterr().out
    assert "1 warning: the same image in two splits" in out
    assert f"{data / 'img' / 'val' / 't2.png'}: the same image as" in out


def test_the_contact_sheet_shows_labels_in_their_colours(data):
    spoil(data, 1)
    sheet = data / "sheet.png"
    assert run_tool("check_dataset", write_config(data), "--out", str(sheet)) == 1
    with Image.open(sheet) as picture:
        pixels = np.array(picture.convert("RGB")).reshape(-1, 3)
    for colour in ((120, 180, 90), (60, 90, 200), (90, 90, 90), (255, 0, 255)):
        assert (np.abs(pixels.astype(int) - colour).max(axis=1) < 12).sum() > 3000, colour


def test_a_sheet_that_cannot_be_written_is_told(data, capsys):
    out = data / "tiny.py" / "sheet.png"  # below a file
    assert run_tool("check_dataset", write_config(data), "--out", str(out)) == 1
    assert f"error: {data / 'tiny.py'}" in capsys.readouterr().err
