"""The data sets of the configs, from files to the tensors that a model is trained on."""

from collections import Counter

import numpy as np
import pytest
import torch
from mmseg.registry import DATASETS, MODELS

from tests.configs.small import load
from tests.fake_data import make_isprs, make_loveda, read_png

SIDE = 64
LOVEDA_TABLE = np.array([255, 0, 1, 2, 3, 4, 5, 6])
# the colours that tests.fake_data gives to label ids, ids as stored in the files
COLORS = np.random.default_rng(0).integers(40, 216, size=(256, 3))


@pytest.fixture(scope="module")
def loveda(tmp_path_factory):
    root = tmp_path_factory.mktemp("loveda")
    return make_loveda(root, num_train=3, num_val=2, num_test=2, size_px=(SIDE, SIDE))


@pytest.fixture(scope="module")
def isprs(tmp_path_factory):
    root = tmp_path_factory.mktemp("isprs")
    potsdam = {"train": ["2_10", "7_10"], "val": ["7_13"]}
    vaihingen = {"train": ["area1"], "val": ["area2"]}
    make_isprs(root / "potsdam", potsdam, tile_px=SIDE)
    make_isprs(root / "vaihingen", vaihingen, tile_px=SIDE)
    return root


def build(settings, root):
    for dataset in settings.get("datasets", [settings]):
        dataset.data_root = str(root)
    return DATASETS.build(settings)


def label_of(packed):
    return packed["data_samples"].gt_sem_seg.data.numpy()[0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_loveda_labels_are_one_down_and_no_data_is_ignored(loveda, split):
    config = load("hiresnet/hiresnet_loveda.py")
    settings = config[f"{split}_dataloader"].dataset
    settings.pipeline = config.val_dataloader.dataset.pipeline  # without the random steps
    dataset = build(settings, loveda)
    assert len(dataset) == {"train": 3, "val": 2}[split]
    for packed in dataset:
        path = packed["data_samples"].seg_map_path
        assert f"ann_dir/{split}/" in path
        stored = read_png(path)
        assert set(np.unique(stored)) == set(range(8))
        np.testing.assert_array_equal(label_of(packed), LOVEDA_TABLE[stored])


def test_augmented_image_and_label_stay_together(loveda):
    dataset = build(load("hiresnet/hiresnet_loveda.py").train_dataloader.dataset, loveda)
    for _ in range(4):
        for packed in dataset:
            image = packed["inputs"].numpy().transpose(1, 2, 0)[..., ::-1].astype(float)  # RGB
            labels = label_of(packed)
            assert labels.shape == image.shape[:2]
            stored = np.where(labels == 255, 0, labels + 1)
            # the nearest colour names the class, but for blends along the borders of patches
            distance = np.abs(image[:, :, None] - COLORS[None, None, :8]).sum(-1)
            assert (distance.argmin(-1) == stored).mean() > 0.7


def test_scales_are_the_papers_five_and_equally_frequent(loveda):
    dataset = build(load("hiresnet/hiresnet_loveda.py").train_dataloader.dataset, loveda)
    np.random.seed(0)
    sizes = Counter(dataset[i % 3]["inputs"].shape[-1] / SIDE for i in range(300))
    assert set(sizes) == {0.5, 0.75, 1.0, 1.25, 1.5}
    # 60 each expected; a binomial's five standard deviations are 35
    assert all(abs(count - 60) < 35 for count in sizes.values())


def test_all_four_flips_occur(loveda):
    config = load("hiresnet/hiresnet_loveda.py")
    settings = config.train_dataloader.dataset
    settings.pipeline = [
        step for step in settings.pipeline if step.type not in ("RandomChoice", "RandomCrop")
    ]
    dataset = build(settings, loveda)
    original = LOVEDA_TABLE[read_png(dataset[0]["data_samples"].seg_map_path)]
    flips = [original[::y, ::x] for y in (1, -1) for x in (1, -1)]
    np.random.seed(0)
    seen = {
        index
        for _ in range(40)
        for index, flip in enumerate(flips)
        if np.array_equal(label_of(dataset[0]), flip)
    }
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "crop"), [("hiresnet_loveda", 512), ("hiresnet_tiny_loveda", 256)]
)
def test_crops_have_the_size_the_model_is_trained_on(tmp_path, name, crop):
    make_loveda(tmp_path, num_train=1, num_val=0, num_test=0, size_px=(crop * 2, crop * 2))
    config = load(f"hiresnet/{name}.py")
    dataset = build(config.train_dataloader.dataset, tmp_path)
    # the smallest scale, 0.5, still fills a crop
    assert dataset[0]["inputs"].shape == (3, crop, crop)
    assert tuple(config.model.data_preprocessor.size) == (crop, crop)
    assert tuple(config.model.test_cfg.crop_size) == (crop, crop)


def test_small_image_is_padded_by_zeros_and_ignored_labels(loveda):
    config = load("hiresnet/hiresnet_loveda.py")
    dataset = build(config.train_dataloader.dataset, loveda)
    packed = dataset[0]
    height, width = packed["inputs"].shape[-2:]
    batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
    before = label_of(packed).copy()
    data = MODELS.build(config.model.data_preprocessor)(batch, training=True)
    labels = data["data_samples"][0].gt_sem_seg.data[0]
    assert data["inputs"].shape == (1, 3, 512, 512)
    assert labels.shape == (512, 512)
    np.testing.assert_array_equal(labels[:height, :width].numpy(), before)
    inside = torch.zeros(512, 512, dtype=torch.bool)
    inside[:height, :width] = True
    assert (labels[~inside] == 255).all()
    assert (data["inputs"][0, :, ~inside] == 0).all()


def test_trainval_protocol_trains_on_both_and_tests_without_labels(loveda):
    config = load("hiresnet/hiresnet_loveda_trainval.py")
    train = build(config.train_dataloader.dataset, loveda)
    folders = Counter(packed["data_samples"].img_path.split("/")[-2] for packed in train)
    assert folders == {"train": 3, "val": 2}
    assert (config.val_dataloader, config.val_cfg, config.val_evaluator) == (None, None, None)
    test = build(config.test_dataloader.dataset, loveda)
    assert [packed["data_samples"].img_path.split("/")[-2] for packed in test] == ["test"] * 2
    assert not any("gt_sem_seg" in packed["data_samples"] for packed in test)


@pytest.mark.parametrize("name", ["potsdam", "vaihingen"])
def test_isprs_configs_split_by_image_and_leave_clutter_out_of_the_mean(isprs, name):
    config = load(f"hiresnet/hiresnet_{name}.py")
    images = {"potsdam": ("2_10", "7_13"), "vaihingen": ("area1", "area2")}[name]
    for split, image in zip(("train", "val"), images, strict=True):
        dataset = build(config[f"{split}_dataloader"].dataset, isprs / name)
        files = [packed["data_samples"].img_path.rpartition("/")[2] for packed in dataset]
        assert [file.startswith(f"{image}_") for file in files] == [True, True]
        for packed in dataset:
            assert set(np.unique(label_of(packed))) <= {0, 1, 2, 3, 4, 5, 255}
    for evaluator in (config.val_evaluator, config.test_evaluator):
        assert evaluator.type == "mmrs.ISPRSMetric"
        assert tuple(evaluator.exclude_from_mean) == ("clutter",)
