"""Paddy patches: the division, the four rotations, and what reaches the model."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmrs.datasets.paddy import PaddyDataset
from mmrs.errors import ConfigError, DataError
from tests.fake_data import make_geotiff, make_labels

TURN = {"type": "mmrs.RotateAsListed"}
PIPELINE = [
    {"type": "mmrs.LoadRaster"},
    {"type": "LoadAnnotations"},
    TURN,
    {"type": "PackSegInputs"},
]


def list_patches(folder: Path, count: int) -> Path:
    path = folder / "patches.txt"
    path.write_text("\n".join(f"patch_{index:04d}" for index in range(count)), encoding="utf-8")
    return path


def make_patches(root: Path, count: int, *, bands: int = 4, dtype: str = "uint16") -> Path:
    rng = np.random.default_rng(0)
    (root / "ann_dir").mkdir(parents=True)
    profile = {"driver": "GTiff", "height": 16, "width": 16, "count": 1, "dtype": "uint8"}
    profile["transform"] = rasterio.Affine(6, 0, 0, 0, -6, 0)
    for index in range(count):
        make_geotiff(
            root / "img_dir" / f"{index}.tif",
            size_px=(16, 16),
            bands=bands,
            dtype=dtype,
            seed=index,
        )
        with rasterio.open(root / "ann_dir" / f"{index}.tif", "w", **profile) as raster:
            raster.write(make_labels((16, 16), (0, 1, 255), rng), 1)
    return root


def build(root: Path, **options) -> PaddyDataset:
    init_default_scope("mmseg")
    prefix = {"img_path": "img_dir", "seg_map_path": "ann_dir"}
    return DATASETS.build(
        {"type": "mmrs.PaddyDataset", "data_root": str(root), "data_prefix": prefix, **options}
    )


def names(dataset: PaddyDataset) -> list[str]:
    return [Path(dataset.get_data_info(i)["img_path"]).stem for i in range(len(dataset))]


def test_numbers_of_the_paper(tmp_path):
    # 6,792 patches, four rotations: 27,168 (27,170 printed); 80 / 20 is 5,434 and 1,358
    options = {"ann_file": str(list_patches(tmp_path, 6792)), "pipeline": [TURN]}
    everything = build(tmp_path, split="all", rotations=(0, 90, 180, 270), **options)
    assert len(everything) == 27_168
    train, val = build(tmp_path, split="train", **options), build(tmp_path, split="val", **options)
    assert len(train) == 4 * 5434
    assert len(val) == 1358


def test_patches_are_divided_before_they_are_rotated(tmp_path):
    options = {"ann_file": str(list_patches(tmp_path, 50)), "pipeline": [TURN]}
    train, val = (build(tmp_path, split=split, **options) for split in ("train", "val"))
    assert set(names(train)).isdisjoint(names(val))
    assert len(set(names(train)) | set(names(val))) == 50
    assert len(val) == 10
    listed = [
        (Path(info["img_path"]).stem, info["rotation_deg"])
        for info in map(train.get_data_info, range(len(train)))
    ]
    assert sorted(listed) == [
        (name, angle) for name in sorted(set(names(train))) for angle in (0, 90, 180, 270)
    ]
    assert {val.get_data_info(i)["rotation_deg"] for i in range(len(val))} == {0}


def test_division_depends_on_names_seed_and_ratio_alone(tmp_path):
    list_patches(tmp_path, 40)
    path = tmp_path / "patches.txt"
    options = {"ann_file": str(path), "split": "val"}
    first = names(build(tmp_path, **options))
    path.write_text("\n".join(reversed(path.read_text().split())), encoding="utf-8")
    assert sorted(names(build(tmp_path, **options))) == sorted(first)
    assert sorted(names(build(tmp_path, split_seed=1, **options))) != sorted(first)
    more = names(build(tmp_path, val_ratio=0.5, **options))
    assert len(more) == 20
    assert set(first) < set(more)


@pytest.mark.parametrize(("bands", "dtype"), [(3, "uint8"), (4, "uint16")])
def test_samples_are_the_files_turned(tmp_path, bands, dtype):
    root = make_patches(tmp_path, 3, bands=bands, dtype=dtype)
    dataset = build(root, split="train", val_ratio=0.34, pipeline=PIPELINE)
    assert len(dataset) == 8
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        with rasterio.open(info["img_path"]) as image, rasterio.open(info["seg_map_path"]) as label:
            pixels, labels = image.read(), label.read(1)
        turns = info["rotation_deg"] // 90
        sample = dataset[index]
        np.testing.assert_array_equal(
            sample["inputs"].numpy(), np.rot90(pixels, turns, axes=(1, 2)).astype(np.float32)
        )
        np.testing.assert_array_equal(
            sample["data_samples"].gt_sem_seg.data[0].numpy(), np.rot90(labels, turns)
        )


def test_a_pipeline_that_does_not_rotate_is_refused(tmp_path):
    list_patches(tmp_path, 5)
    with pytest.raises(ConfigError, match=r"nothing rotates.*RotateAsListed"):
        build(tmp_path, split="train", pipeline=[PIPELINE[0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test"}, "split 'test' is unknown"),
        ({"split": "val", "val_ratio": 1.5}, "val_ratio must be in 0 .. 1"),
        ({"split": "train", "rotations": (45,)}, "rotations must be among"),
        ({"split": "train", "rotations": ()}, "rotations must be among"),
        ({"split": "val", "rotations": (0, 90)}, "more than once"),
    ],
)
def test_bad_options_are_told_in_one_line(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, **options)


def test_missing_and_empty_folders_are_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        build(tmp_path / "none", split="val")
    (tmp_path / "img_dir").mkdir()
    with pytest.raises(DataError, match="none of 0"):
        build(tmp_path, split="val")
