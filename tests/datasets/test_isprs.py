"""Potsdam and Vaihingen: the split goes by the source image, whatever the folder."""

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS as MMSEG_DATASETS

from mmrs.datasets import PotsdamDataset, VaihingenDataset
from mmrs.errors import ConfigError, DataError
from mmrs.registry import DATASETS
from tests.fake_data import make_isprs, read_png

PREFIX = {"img_path": "img_dir", "seg_map_path": "ann_dir"}
CASES = [
    # data set, an image to train on, one to validate on
    (PotsdamDataset, "2_10", "5_15"),
    (VaihingenDataset, "area1", "area38"),
]


def build(cls, root, split, **options):
    return cls(split=split, data_root=str(root), data_prefix=PREFIX, **options)


def images_of(dataset):
    return {dataset.source_image_id(item["img_path"].rpartition("/")[2]) for item in dataset}


def test_splits_have_the_sizes_of_the_benchmark_and_share_no_image():
    for cls, train, val in ((PotsdamDataset, 23, 14), (VaihingenDataset, 16, 17)):
        assert len(set(cls.SPLITS["train"])) == train
        assert len(set(cls.SPLITS["val"])) == val
        assert not set(cls.SPLITS["train"]) & set(cls.SPLITS["val"])
    assert "7_10" not in PotsdamDataset.SPLITS["train"]
    numbers = (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38)
    assert VaihingenDataset.SPLITS["val"] == tuple(f"area{number}" for number in numbers)


def test_vaihingen_split_of_ifwm_divides_the_labelled_images_into_11_and_5():
    train, test = (set(VaihingenDataset.SPLITS[f"ifwm_{part}"]) for part in ("train", "test"))
    assert test == {"area11", "area15", "area28", "area30", "area34"}
    assert len(train) == 11
    assert train | test == set(VaihingenDataset.SPLITS["train"])


def test_the_dilated_spp_splits_rank_all_38_images_by_their_hash():
    splits = PotsdamDataset.SPLITS
    benchmark = {*splits["train"], *splits["val"], "7_10"}
    ranked = sorted(
        benchmark, key=lambda image: hashlib.sha256(f"potsdam {image}".encode()).hexdigest()
    )
    parts = {"train": ranked[:23], "val": ranked[23:31], "test": ranked[31:]}
    assert len(ranked) == 38
    for part, images in parts.items():
        assert sorted(splits[f"dilated_spp_{part}"]) == sorted(images)
        assert set(splits[f"dilated_spp_overlap_{part}"]) == benchmark
    assert "7_10" in splits["dilated_spp_train"]


def test_the_papers_own_split_divides_tiles_and_says_that_they_overlap(tmp_path, caplog):
    images = ["2_10", "3_13", "7_10", "7_7"]
    make_isprs(tmp_path, {"": images}, num_tiles=5, tile_px=8)
    log = MMLogger.get_instance("overlap")
    log.addHandler(caplog.handler)
    found = {}
    for part in ("train", "val", "test"):
        dataset = build(PotsdamDataset, tmp_path, f"dilated_spp_overlap_{part}")
        found[part] = [item["img_path"] for item in dataset]
        assert f"dilated_spp_overlap_{part}" in caplog.messages[-1]
        assert "training and test data overlap" in caplog.messages[-1]
        assert found[part] == sorted(found[part])
    assert {part: len(paths) for part, paths in found.items()} == {"train": 12, "val": 4, "test": 4}
    assert len({path for paths in found.values() for path in paths}) == 20
    caplog.clear()
    assert images_of(build(PotsdamDataset, tmp_path, "dilated_spp_train")) == {"2_10", "7_10"}
    assert images_of(build(PotsdamDataset, tmp_path, "dilated_spp_val")) == {"7_7"}
    assert images_of(build(PotsdamDataset, tmp_path, "dilated_spp_test")) == {"3_13"}
    assert caplog.messages == []


@pytest.mark.parametrize(("cls", "train", "val"), CASES)
def test_prepared_and_flat_layouts_give_the_same_tiles(tmp_path, cls, train, val):
    make_isprs(tmp_path / "prepared", {"train": [train], "val": [val]})
    make_isprs(tmp_path / "flat", {"": [train, val]})
    for split, image in (("train", train), ("val", val)):
        names = {}
        for layout in ("prepared", "flat"):
            dataset = build(cls, tmp_path / layout, split)
            assert images_of(dataset) == {image}
            for item in dataset:
                assert read_png(item["seg_map_path"]).shape == (64, 64)
            names[layout] = [item["img_path"].rpartition("/")[2] for item in dataset]
        assert names["prepared"] == names["flat"]
        assert len(names["flat"]) == 2


@pytest.mark.parametrize(("cls", "train", "val"), CASES)
def test_a_tile_of_the_other_split_in_the_folder_is_not_used(tmp_path, cls, train, val):
    make_isprs(tmp_path, {"train": [train, val]})
    assert images_of(build(cls, tmp_path, "train")) == {train}
    assert images_of(build(cls, tmp_path, "val")) == {val}


def test_potsdam_leaves_7_10_out_of_the_training_folder(tmp_path):
    make_isprs(tmp_path, {"train": ["7_10", "7_11"], "val": ["7_13"]})
    assert images_of(build(PotsdamDataset, tmp_path, "train")) == {"7_11"}
    assert images_of(build(PotsdamDataset, tmp_path, "val")) == {"7_13"}


@pytest.mark.parametrize("name", ["7_99_0_0_64_64.png", "mosaic.png", "area1_0_0_64_64.png"])
def test_a_tile_of_no_known_image_is_an_error_that_names_it(tmp_path, name):
    make_isprs(tmp_path, {"train": ["2_10"]})
    (tmp_path / "img_dir" / "train" / name).write_bytes(b"")
    with pytest.raises(DataError, match=re.escape(f"train/{name}: ")) as caught:
        build(PotsdamDataset, tmp_path, "train")
    assert "Fix: " in str(caught.value)


def test_a_folder_without_tiles_of_the_split_is_an_error_that_names_both(tmp_path):
    make_isprs(tmp_path, {"train": ["area1"]})
    with pytest.raises(DataError, match=r"none of 2 \*\.png files belongs to split 'val'"):
        build(VaihingenDataset, tmp_path, "val")
    with pytest.raises(DataError, match=r"none of 0 \*\.tif files"):
        build(VaihingenDataset, tmp_path, "train", img_suffix=".tif")
    with pytest.raises(DataError, match=r"nowhere/img_dir: no such folder"):
        build(VaihingenDataset, tmp_path / "nowhere", "train")


def test_contradicting_settings_are_refused(tmp_path):
    make_isprs(tmp_path, {"": ["area1"]})
    with pytest.raises(ConfigError, match=r"split 'test' is unknown.*choose from train, val"):
        build(VaihingenDataset, tmp_path, "test")
    with pytest.raises(ConfigError, match=r"ann_file: the list 'train.txt'"):
        build(VaihingenDataset, tmp_path, "train", ann_file="train.txt")
    with pytest.raises(ConfigError, match="no image folder"):
        VaihingenDataset(split="train")


@given(
    row=st.integers(1, 99),
    column=st.integers(1, 99),
    box=st.tuples(*[st.integers(0, 9999)] * 4),
    padded=st.booleans(),
)
def test_potsdam_names_give_their_image(row, column, box, padded):
    image = f"{row:02d}_{column:02d}" if padded else f"{row}_{column}"
    tile = "_".join(map(str, box))
    for name in (f"{image}_{tile}.png", f"{image}.tif", f"top_potsdam_{image}_RGB.tif"):
        assert PotsdamDataset.source_image_id(name) == f"{row}_{column}"


@given(area=st.integers(1, 99), box=st.tuples(*[st.integers(0, 9999)] * 4))
def test_vaihingen_names_give_their_image(area, box):
    tile = "_".join(map(str, box))
    for name in (f"area{area}_{tile}.png", f"top_mosaic_09cm_area{area}.tif"):
        assert VaihingenDataset.source_image_id(name) == f"area{area}"


def test_classes_and_colours_are_those_of_mmsegmentation():
    for ours, theirs in (
        ("PotsdamDataset", "PotsdamDataset"),
        ("VaihingenDataset", "ISPRSDataset"),
    ):
        assert DATASETS.get(f"mmrs.{ours}").METAINFO == MMSEG_DATASETS.get(theirs).METAINFO
    assert VaihingenDataset.METAINFO["classes"][-1] == "clutter"


@pytest.mark.parametrize(("cls", "train", "val"), CASES)
def test_labels_are_one_down_and_boundaries_ignored(tmp_path, cls, train, val):
    make_isprs(tmp_path, {"": [train, val]})
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "mmseg.LoadAnnotations"}]
    dataset = build(cls, tmp_path, "train", pipeline=pipeline)
    table = np.array([255, 0, 1, 2, 3, 4, 5])
    for sample in dataset:
        stored = read_png(sample["seg_map_path"])
        assert set(np.unique(stored)) == set(range(7))
        np.testing.assert_array_equal(sample["gt_seg_map"], table[stored])
