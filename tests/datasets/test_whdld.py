"""WHDLD: the division goes by names alone; ids, palettes and colours give the same labels."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from mmrs.datasets import WHDLDDataset
from mmrs.errors import ConfigError, DataError, LabelError
from tests.fake_data import make_whdld, read_png

PREFIX = {"img_path": "Images", "seg_map_path": "ImagesPNG"}
PALETTE = WHDLDDataset.METAINFO["palette"]
NAMES = [f"wh{number:04d}" for number in range(1, 41)]
LOAD_IDS = [{"type": "LoadImageFromFile"}, {"type": "mmseg.LoadAnnotations"}]
LOAD_COLORS = [
    {"type": "LoadImageFromFile"},
    {"type": "mmseg.LoadAnnotations", "imdecode_backend": "cv2"},
    {"type": "mmrs.MapColors", "colors": PALETTE},
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_whdld(tmp_path_factory.mktemp("whdld"), NAMES, palette=PALETTE, side_px=16)


def build(root, split, **options):
    return WHDLDDataset(split=split, data_root=str(root), data_prefix=PREFIX, **options)


def names_of(dataset):
    return [re.split(r"[/.]", item["img_path"])[-2] for item in dataset]


def test_train_and_val_share_no_image_and_leave_none_out(root):
    train, val = names_of(build(root, "train")), names_of(build(root, "val"))
    assert not set(train) & set(val)
    assert sorted(train + val) == NAMES == names_of(build(root, "all"))
    assert train == sorted(train) and 2 <= len(val) <= 16
    for item in build(root, "val"):
        assert os.path.exists(item["seg_map_path"])


def test_the_division_is_the_documented_one():
    # by `printf 0/wh0001 | sha256sum`: 0.090, 0.725, 0.927, 0.999, 0.460, 0.272, 0.118, 0.183,
    # 0.439, 0.709 for the first ten; the count is over all 4940 names
    dataset = WHDLDDataset(split="val", data_prefix=PREFIX, lazy_init=True)
    names = [f"wh{number:04d}" for number in range(1, 4941)]
    val = {name for name in names if dataset._belongs(f"Images/{name}.jpg")}
    assert len(val) == 951
    assert [name in val for name in names[:10]] == [i in (1, 7, 8) for i in range(1, 11)]


def test_neither_order_nor_folder_nor_ending_nor_other_files_move_a_file(root, tmp_path):
    val = set(names_of(build(root, "val")))
    few = NAMES[::-3]
    make_whdld(tmp_path, few, palette=PALETTE, side_px=16)
    assert set(names_of(build(tmp_path, "val"))) == val & set(few)
    (tmp_path / "Images" / "deep").mkdir()
    for path in (tmp_path / "Images").glob("*.jpg"):
        path.rename(tmp_path / "Images" / "deep" / f"{path.stem}.tif")
    assert set(names_of(build(tmp_path, "val", img_suffix=".tif"))) == val & set(few)


def test_ratio_and_seed_change_the_division(root):
    few, many = (set(names_of(build(root, "val", val_ratio=r))) for r in (0.2, 0.6))
    assert few < many
    other = set(names_of(build(root, "val", split_seed=1)))
    assert other != few
    assert names_of(build(root, "train", val_ratio=0.0)) == NAMES
    assert names_of(build(root, "val", val_ratio=1.0)) == NAMES


@pytest.mark.parametrize(
    ("encoding", "reduce_zero_label", "pipeline"),
    [
        ("palette", True, LOAD_IDS),
        ("ids", True, LOAD_IDS),
        ("palette", False, LOAD_COLORS),
        ("colors", False, LOAD_COLORS),
    ],
)
def test_every_encoding_gives_the_same_labels(tmp_path, encoding, reduce_zero_label, pipeline):
    make_whdld(tmp_path / "a", NAMES[:2], encoding=encoding, palette=PALETTE)
    make_whdld(tmp_path / "b", NAMES[:2], encoding="ids")
    dataset = build(tmp_path / "a", "all", pipeline=pipeline, reduce_zero_label=reduce_zero_label)
    for sample, name in zip(dataset, NAMES[:2], strict=True):
        stored = read_png(tmp_path / "b" / "ImagesPNG" / f"{name}.png")
        assert set(np.unique(stored)) == set(range(1, 7))
        np.testing.assert_array_equal(sample["gt_seg_map"], stored - 1)


def test_zero_is_ignored(tmp_path):
    make_whdld(tmp_path, NAMES[:1], encoding="ids")
    path = tmp_path / "ImagesPNG" / f"{NAMES[0]}.png"
    labels = read_png(path)
    labels[:3] = 0
    Image.fromarray(labels).save(path)
    (sample,) = build(tmp_path, "all", pipeline=LOAD_IDS)
    assert (sample["gt_seg_map"][:3] == 255).all()
    assert set(np.unique(sample["gt_seg_map"][3:])) <= set(range(6))


def test_colours_read_as_ids_and_ids_read_as_colours_are_errors(tmp_path):
    make_whdld(tmp_path / "colors", NAMES[:1], encoding="colors", palette=PALETTE)
    make_whdld(tmp_path / "ids", NAMES[:1], encoding="ids")
    check = [*LOAD_IDS, {"type": "mmrs.CheckSample", "num_classes": 6}]
    with pytest.raises(LabelError, match="colour picture"):
        build(tmp_path / "colors", "all", pipeline=check)[0]
    with pytest.raises(LabelError, match="no colour picture"):
        build(tmp_path / "ids", "all", pipeline=LOAD_COLORS, reduce_zero_label=False)[0]


def test_bad_settings_are_errors_of_one_line(root, tmp_path):
    with pytest.raises(ConfigError, match=r"split 'test' is unknown.*choose from train, val, all"):
        build(root, "test")
    with pytest.raises(ConfigError, match=r"val_ratio must be in 0 .. 1, got 20"):
        build(root, "val", val_ratio=20)
    with pytest.raises(ConfigError, match=r"ann_file: the list 'val.txt' and split='val'"):
        build(root, "val", ann_file="val.txt")
    with pytest.raises(DataError, match=r"nowhere/Images: no such folder"):
        build(tmp_path / "nowhere", "val")
    with pytest.raises(DataError, match=r"none of 40 \*.jpg files belongs to split 'val'"):
        build(root, "val", val_ratio=0.0)
    with pytest.raises(DataError, match=r"none of 0 \*.png files"):
        build(root, "val", img_suffix=".png")


def test_a_list_of_ones_own_works_with_all(root, tmp_path):
    (tmp_path / "mine.txt").write_text("wh0003\nwh0001\n")
    dataset = build(root, "all", ann_file=str(tmp_path / "mine.txt"))
    assert sorted(names_of(dataset)) == ["wh0001", "wh0003"]
