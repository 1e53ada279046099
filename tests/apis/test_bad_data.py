"""Bad input data: one line with the file, the cause and the mend, before the first step.

The rows are those of the failure catalogue: 1-3, 14-16, 18, 19.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from tests.apis.tiny_run import run_tool, write_config, write_pairs
from tests.fake_data import make_geotiff


def refused(capsys, tool, *argv) -> str:
    """Run a tool that must fail, and return the one line that it says."""
    capsys.readouterr()
    status = run_tool(tool, *argv)
    told = capsys.readouterr()
    assert status == 1, told.err
    lines = told.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1 and lines[-1] == errors[0], told.err
    assert "Traceback" not in told.err + told.out
    assert "Iter(train)" not in told.out, "it began to train"
    return errors[0]


def train_refused(capsys, data, **changes) -> str:
    config = write_config(data, **changes)
    return refused(capsys, "train", config, "--work-dir", data / "work")


def set_pixel(path, row, col, value):
    label = np.array(Image.open(path))
    label[row, col] = value
    Image.fromarray(label).save(path)


# 1 unreadable image ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t0", "t3"])
def test_text_file_named_as_an_image(data, capsys, name):
    path = data / "img" / "train" / f"{name}.png"
    path.write_text("no picture")
    line = train_refused(capsys, data)
    assert line.startswith(f"error: {path}: cannot be read as an image. Fix: replace it")
    assert not (data / "work").exists(), "nothing was begun"


def test_truncated_first_image(data, capsys):
    path = data / "img" / "val" / "t0.png"
    path.write_bytes(path.read_bytes()[:200])
    # a walk over the chunks tells more than a decoder does
    assert f"{path}: ends inside the chunk IDAT" in train_refused(capsys, data)


@pytest.mark.parametrize("workers", [0, 1])
def test_image_that_only_a_worker_meets(data, capsys, workers):
    # the look beforehand is bounded: here it sees the headers only, and this header is whole
    path = data / "img" / "train" / "t2.png"
    path.write_bytes(path.read_bytes()[:200])
    config = write_config(data, train_dataloader__num_workers=workers)
    assert run_tool("train", config, "--work-dir", data / "work") == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"error: {path}: ends inside the chunk IDAT")
    assert "Traceback" not in line and line.count("error:") == 1


def test_raster_that_the_pipeline_cannot_decode_is_told_by_its_bands(data, capsys):
    path = data / "img" / "train" / "t0.tif"
    make_geotiff(path, size_px=(32, 32), bands=12, dtype="int16")
    for old in (data / "img" / "train").glob("*.png"):
        old.unlink()
    line = train_refused(capsys, data, train_dataloader__dataset__img_suffix=".tif")
    assert f"{path}: LoadImageFromFile cannot decode 12 bands of int16" in line
    assert "mmrs.LoadRaster" in line


def test_unreadable_label(data, capsys):
    path = data / "ann" / "train" / "t1.png"
    path.write_text("no picture")
    assert f"{path}: cannot be read as a label" in train_refused(capsys, data)


# 2 no images, wrong suffix --------------------------------------------------------------------


def test_empty_folder(data, capsys):
    (data / "img" / "empty").mkdir()
    line = train_refused(capsys, data, train_dataloader__dataset__data_prefix__img_path="img/empty")
    assert f"{data / 'img' / 'empty'}: no images with suffix '.png'; it is empty" in line


def test_wrong_suffix_names_the_right_one(data, capsys):
    line = train_refused(capsys, data, train_dataloader__dataset__img_suffix=".tif")
    assert f"{data / 'img' / 'train'}: no images with suffix '.tif'; found 4 x .png" in line
    assert "train_dataloader.dataset.img_suffix='.png'" in line


def test_missing_folder_says_what_is_there(data, capsys):
    line = train_refused(capsys, data, val_dataloader__dataset__data_prefix__img_path="img/vall")
    assert f"{data / 'img' / 'vall'}: there is no such folder" in line
    assert f"{data / 'img'} holds train, val" in line


def test_image_without_label(data, capsys):
    path = data / "ann" / "train" / "t2.png"
    path.unlink()
    line = train_refused(capsys, data)
    assert f"{path}: there is no such file" in line


def test_labels_that_nothing_reads_need_not_be_there(data, capsys):
    config = write_config(data)
    assert run_tool("train", config, "--work-dir", data / "work") == 0
    for path in (data / "ann" / "val").iterdir():
        path.unlink()
    text = (data / "tiny.py").read_text()
    head, key, tail = text.partition("test_dataloader")
    assert "dict(type='LoadAnnotations')," in tail
    tail = tail.replace("dict(type='LoadAnnotations'),", "", 1)
    tail = tail.replace(
        "dict(type='mmrs.SegMetric')", "dict(type='mmrs.SegMetric', format_only=True)", 1
    )
    (data / "tiny.py").write_text(head + key + tail)
    checkpoint = data / "work" / "iter_2.pth"
    words = ["--work-dir", data / "w2", "--out", data / "maps"]
    assert run_tool("test", config, checkpoint, *words) == 0, capsys.readouterr().err
    assert len(list((data / "maps").iterdir())) == 3


def test_labels_with_another_suffix_name_it(data, capsys):
    for path in (data / "ann" / "train").iterdir():
        path.rename(path.with_suffix(".mask.tif"))
    line = train_refused(capsys, data)
    assert "there is no such file (and 3 more of 4 samples)" in line
    assert "set train_dataloader.dataset.seg_map_suffix='.mask.tif': there is t0.mask.tif" in line


# 3 image and mask differ in size ---------------------------------------------------------------


def test_sizes_that_differ(data, capsys):
    path = data / "ann" / "train" / "t3.png"
    Image.fromarray(np.zeros((31, 32), np.uint8)).save(path)
    line = train_refused(capsys, data)
    image = data / "img" / "train" / "t3.png"
    assert f"{path}: label is 31 x 32 but its image {image} is 32 x 32" in line


# 14 masks of 0 and 255 -------------------------------------------------------------------------


def test_masks_of_0_and_255_get_the_map(data, capsys):
    write_pairs(data, "train", 4, values=(0, 255))
    line = train_refused(capsys, data)
    assert "hold only 0 and 255, and 255 is ignored, so class 1 (water) has no pixel" in line
    assert "dict(type='mmrs.MapLabels', label_map={255: 1})" in line


def test_the_suggested_map_mends_them(data, capsys):
    for split in ("train", "val"):
        write_pairs(data, split, 3, values=(0, 255))
    config = write_config(data)
    text = (data / "tiny.py").read_text()
    step = "dict(type='LoadAnnotations'),"
    assert step in text
    mapped = text.replace(step, step + " dict(type='mmrs.MapLabels', label_map={255: 1}),")
    (data / "tiny.py").write_text(mapped)
    assert run_tool("train", config, "--work-dir", data / "work") == 0
    table = capsys.readouterr().out
    assert re.search(r"\|\s+255 \|\s+1 \| water", table)


def test_0_255_with_a_third_value_is_a_label_map(data, capsys):
    write_pairs(data, "train", 4, values=(0, 1, 255))
    config = write_config(data)
    assert run_tool("train", config, "--work-dir", data / "work") == 0


# 15 reduce_zero_label --------------------------------------------------------------------------


def rows(table):
    return [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in table.splitlines()
        if line.startswith("|")
    ]


def test_table_of_ids_before_training(data, capsys):
    # 16 patches of 8 x 8 px a tile, values in turn: 0 4 times of 16 and so on; 2 tiles
    write_pairs(data, "train", 2, values=(0, 1, 2, 3))
    for extra in ("t2", "t3"):
        (data / "img" / "train" / f"{extra}.png").unlink()
    write_pairs(data, "val", 1, values=(0, 1, 2, 3))
    shifted = {
        f"{split}_dataloader__dataset__reduce_zero_label": True
        for split in ("train", "val", "test")
    }
    assert run_tool("train", write_config(data, **shifted), "--work-dir", data / "work") == 0
    out = capsys.readouterr().out
    head, _, rest = out.partition("labels of train_dataloader.dataset (2 of 2 files read")
    assert "Iter(train)" not in head
    assert rest.startswith(", reduce_zero_label=True):")
    # 32 patches of 64 px: 8 of each value
    assert rows(rest.split("labels of val")[0])[1:] == [
        ("0", "255", "(ignored)", "512"),
        ("1", "0", "field", "512"),
        ("2", "1", "water", "512"),
        ("3", "2", "road", "512"),
    ]


def test_forgotten_reduce_zero_label_is_suggested(data, capsys):
    write_pairs(data, "train", 4, values=(0, 1, 2, 3))
    line = train_refused(capsys, data)
    assert "value 3 at (row" in line and "reduce_zero_label=True" in line


# 16 label out of range -------------------------------------------------------------------------


def test_label_out_of_range_names_file_value_and_pixel(data, capsys):
    path = data / "ann" / "train" / "t2.png"
    set_pixel(path, 12, 30, 7)
    line = train_refused(capsys, data)
    assert f"{path}: value 7 at (row 12, col 30), but classes has 3 (0-2). Fix: map it" in line
    assert "label_map={7: 255}" in line and "num_classes=8" in line


@pytest.mark.parametrize("workers", [0, 1])
def test_label_out_of_range_that_only_a_worker_meets(data, capsys, monkeypatch, workers):
    # not seen beforehand: the look is over after the first sample
    monkeypatch.setattr("mmrs.apis.checks.set_check._spread", lambda pairs: pairs[:1])
    path = data / "ann" / "train" / "t2.png"
    Image.fromarray(np.full((32, 32), 9, np.uint8)).save(path)
    config = write_config(data, train_dataloader__num_workers=workers)
    assert run_tool("train", config, "--work-dir", data / "work") == 1
    told = capsys.readouterr()
    line = told.err.strip().splitlines()[-1]
    assert line.startswith(f"error: {path}: value 9 at (row 0, col 0), but classes has 3 (0-2)")


def test_wide_ids_are_not_cut_to_a_byte(data, capsys):
    path = data / "ann" / "train" / "t1.png"
    Image.fromarray(np.full((32, 32), 257, np.uint16)).save(path)
    assert f"{path}: values 257 to 257" in train_refused(capsys, data)


def test_grey_mask_is_told_from_a_wrong_id(data, capsys):
    path = data / "ann" / "train" / "t1.png"
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(path)
    line = train_refused(capsys, data)
    assert "256 different values" in line and "must be turned into class ids" in line


# 18 evaluation refuses what it cannot judge ----------------------------------------------------


def test_evaluation_refuses_a_label_out_of_range(data, capsys):
    config = write_config(data)
    assert run_tool("train", config, "--work-dir", data / "work") == 0
    path = data / "ann" / "val" / "t1.png"
    set_pixel(path, 3, 4, 9)
    checkpoint = data / "work" / "iter_2.pth"
    line = refused(capsys, "test", config, checkpoint, "--work-dir", data / "w2")
    assert f"{path}: value 9 at (row 3, col 4)" in line


# 19 colour masks -------------------------------------------------------------------------------


def test_colour_mask_asks_for_the_map_and_counts_unknown_colours(data, capsys):
    path = data / "ann" / "train" / "t1.png"
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:] = (120, 180, 90)  # field
    picture[:2] = (60, 90, 200)  # water
    picture[5, :7] = (1, 2, 3)
    Image.fromarray(picture).save(path)
    line = train_refused(capsys, data)
    assert f"{path}: a colour picture (3 channels)" in line
    assert "2 of its 3 colours are in the palette" in line
    assert "1 are not (7 pixels, such as (1, 2, 3))" in line
    assert "mmrs.MapColors" in line


def test_palette_pictures_are_ids(data, capsys):
    for path in (data / "ann" / "train").iterdir():
        indexed = Image.fromarray(np.array(Image.open(path)), mode=None).convert("L")
        indexed.putpalette([0, 0, 0, 90, 90, 90, 200, 0, 0])
        indexed.save(path)
    assert run_tool("train", write_config(data), "--work-dir", data / "work") == 0
