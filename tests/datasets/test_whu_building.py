"""WHU Building: the distributed layout, and labels of 0 and 255 as classes 0 and 1."""

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

from mmrs.errors import ConfigError
from tests.configs.small import load
from tests.fake_data import read_png, write_pair

SIDE = 64
COUNTS = {"train": 3, "val": 1, "test": 2}


@pytest.fixture(scope="module")
def whu(tmp_path_factory):
    root = tmp_path_factory.mktemp("whu")
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for i in range(count):
            image, label = (root / split / kind / f"{i}.tif" for kind in ("image", "label"))
            write_pair(image, label, size_px=(SIDE, SIDE), ids=(0, 255), rng=rng)
    return root


def build(settings, root):
    settings.data_root = str(root)
    return DATASETS.build(settings)


@pytest.mark.parametrize("split", COUNTS)
def test_each_split_reads_its_folder_and_maps_255_to_building(whu, split):
    config = load("ifwm/ifw_hrnet-w48_whu_building.py")
    settings = config[f"{split}_dataloader"].dataset
    settings.pipeline = config.test_dataloader.dataset.pipeline  # without the random steps
    dataset = build(settings, whu)
    assert len(dataset) == COUNTS[split]
    assert dataset.metainfo["classes"] == ("background", "building")
    for packed in dataset:
        sample = packed["data_samples"]
        assert f"{split}/label/" in sample.seg_map_path
        stored = read_png(sample.seg_map_path)
        assert set(np.unique(stored)) == {0, 255}
        np.testing.assert_array_equal(sample.gt_sem_seg.data.numpy()[0], stored == 255)


def test_labels_of_0_and_1_pass_unchanged(whu, tmp_path):
    label = np.eye(SIDE, dtype=np.uint8)
    for kind, array in (("image", np.zeros((SIDE, SIDE, 3), np.uint8)), ("label", label)):
        (tmp_path / "test" / kind).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "test" / kind / "0.tif")
    settings = load("ifwm/ifw_hrnet-w48_whu_building.py").test_dataloader.dataset
    (packed,) = build(settings, tmp_path)
    np.testing.assert_array_equal(packed["data_samples"].gt_sem_seg.data.numpy()[0], label)


LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
MAP = {"type": "mmrs.MapLabels", "label_map": {255: 1}}


def augmented(*steps):
    return [LOAD[0], {"type": "TestTimeAug", "transforms": [[step] for step in steps]}]


@pytest.mark.parametrize("pipeline", [LOAD, augmented(LOAD[1], {"type": "PackSegInputs"})])
def test_a_pipeline_that_leaves_buildings_ignored_is_refused(whu, pipeline):
    settings = load("ifwm/ifw_hrnet-w48_whu_building.py").train_dataloader.dataset
    settings.pipeline = pipeline
    with pytest.raises(ConfigError, match=r"MapLabels', label_map=\{255: 1\}\) after LoadA"):
        build(settings, whu)


@pytest.mark.parametrize("pipeline", [LOAD[:1], [], augmented(LOAD[1], MAP), [*LOAD, MAP]])
def test_a_pipeline_that_maps_labels_or_loads_none_is_taken(whu, pipeline):
    settings = load("ifwm/ifw_hrnet-w48_whu_building.py").train_dataloader.dataset
    settings.pipeline = pipeline
    assert len(build(settings, whu)) == COUNTS["train"]


def test_training_rotates_image_and_label_together(whu):
    dataset = build(load("ifwm/ifw_hrnet-w48_whu_building.py").train_dataloader.dataset, whu)
    np.random.seed(0)
    turned = set()
    for _ in range(12):
        packed = dataset[0]
        sample = packed["data_samples"]
        stored = read_png(sample.seg_map_path) == 255
        label = sample.gt_sem_seg.data.numpy()[0]
        turns = [k for k in range(4) if np.array_equal(np.rot90(stored, k), label)]
        assert len(turns) == 1
        image = packed["inputs"].numpy().transpose(1, 2, 0)[..., ::-1]
        image_path = sample.img_path
        np.testing.assert_array_equal(image, np.rot90(read_png(image_path), turns[0]))
        turned |= set(turns)
    assert turned == {0, 1, 2, 3}
