"""The doubled set: N originals, N stitched, the same ones everywhere, walked by the data checks."""

from functools import partial

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import worker_init_fn
from mmengine.registry import DATASETS, init_default_scope
from mmseg.datasets import BaseSegDataset
from PIL import Image

from mmrs.apis.checks.data_check import check_data
from mmrs.apis.guarded_pipeline import GuardedPipeline, guard_dataset, leaf_datasets
from mmrs.apis.train import train
from mmrs.datasets import CropAndStitchDataset
from mmrs.errors import ConfigError, DataError, LabelError
from tests.apis.tiny_run import CLASSES, PALETTE, tiny_config, write_pairs

LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
LATER = [{"type": "RandomFlip", "prob": 0.0}, {"type": "PackSegInputs"}]
SIDE = 16


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    write_pairs(tmp_path, "train", 6, size_px=SIDE)
    write_pairs(tmp_path, "val", 2, size_px=SIDE, seed=1)
    return tmp_path


def inner(root, pipeline=None, **options):
    return {
        "type": "BaseSegDataset",
        "data_root": str(root),
        "data_prefix": {"img_path": "img/train", "seg_map_path": "ann/train"},
        "img_suffix": ".png",
        "metainfo": {"classes": CLASSES, "palette": PALETTE},
        "serialize_data": False,  # each time it collects garbage, slowly
        "pipeline": [*LOAD, *LATER] if pipeline is None else pipeline,
        **options,
    }


def arrays(packed):
    return packed["inputs"].numpy(), packed["data_samples"].gt_sem_seg.data.numpy()[0]


def test_originals_come_first_and_as_many_stitched_ones_follow(root):
    plain = DATASETS.build(inner(root))
    doubled = DATASETS.build({"type": "mmrs.CropAndStitchDataset", "dataset": inner(root)})
    assert (len(plain), len(doubled)) == (6, 12)
    assert doubled.metainfo["classes"] == CLASSES
    originals = [arrays(packed) for packed in plain]
    for index, (image, label) in enumerate(originals):
        np.testing.assert_array_equal(arrays(doubled[index])[0], image)
        np.testing.assert_array_equal(arrays(doubled[index])[1], label)
        stitched = arrays(doubled[6 + index])
        assert stitched[0].shape == image.shape and stitched[1].shape == label.shape
        assert doubled.get_data_info(6 + index) == plain.get_data_info(index)
        np.testing.assert_array_equal(arrays(doubled[index - 6])[0], stitched[0])
    assert sum(1 for _ in doubled) == 12
    with pytest.raises(IndexError, match="sample 12 of 12"):
        doubled[12]


def stitches(dataset):
    """Of the second half: from what, where."""
    count = len(dataset) // 2
    return [dataset[count + index]["stitch"] for index in range(count)]


def test_each_image_is_stitched_to_three_others_by_its_own_label(root):
    names = [f"{root}/img/train/t{index}.png" for index in range(6)]
    for index, told in enumerate(stitches(CropAndStitchDataset(inner(root, LOAD), pipeline=[]))):
        assert told["img_paths"][0] == names[index]
        assert len(set(told["img_paths"])) == 4
    # the label decides the colour, but for noise below half a step: a misplaced label would show
    doubled = CropAndStitchDataset(inner(root, LOAD), pipeline=[])
    for index in range(12):
        sample = doubled[index]
        assert (sample["img"][..., 2] // 40 == sample["gt_seg_map"]).mean() > 0.95


def test_the_stitched_set_is_made_once_or_anew(root):
    first, again = (CropAndStitchDataset(inner(root, LOAD), pipeline=[]) for _ in range(2))
    np.random.seed(1)
    told = stitches(first)
    assert stitches(first) == told and stitches(again) == told
    assert stitches(CropAndStitchDataset(inner(root, LOAD), pipeline=[], seed=5)) != told
    fresh = CropAndStitchDataset(inner(root, LOAD), pipeline=[], seed=None)
    np.random.seed(1)
    one = stitches(fresh)
    assert stitches(fresh) != one
    np.random.seed(1)
    assert stitches(fresh) == one


@pytest.mark.parametrize("seed", [3, None])
def test_workers_share_the_fixed_set_and_draw_their_own_otherwise(root, seed):
    dataset = CropAndStitchDataset(inner(root, LOAD), pipeline=[], seed=seed)
    loader = torch.utils.data.DataLoader(
        [6, 6, 6, 6],
        batch_size=1,
        num_workers=2,
        collate_fn=lambda batch: repr(dataset[batch[0]]["stitch"]),
    )
    assert len(set(loader)) == (4 if seed is None else 1)


@pytest.mark.parametrize("seed", [3, None])
def test_without_a_seed_an_epoch_of_restarted_workers_differs_and_a_run_repeats(root, seed):
    dataset = CropAndStitchDataset(inner(root, LOAD), pipeline=[], seed=seed)

    def run(rank):
        torch.manual_seed(0)
        loader = torch.utils.data.DataLoader(
            [6, 6, 6, 6],
            batch_size=1,
            num_workers=2,
            collate_fn=lambda batch: repr(dataset[batch[0]]["stitch"]),
            worker_init_fn=partial(worker_init_fn, num_workers=2, rank=rank, seed=0),
        )
        return [list(loader) for _ in range(2)]

    first, second = run(rank=0)
    assert len({*first, *second}) == (8 if seed is None else 1)
    assert run(rank=0) == [first, second]
    other = run(rank=1)
    assert bool({*first, *second} & {*other[0], *other[1]}) == (seed is not None)


def test_beta_and_size_reach_the_stitching(root):
    middle = CropAndStitchDataset(inner(root, LOAD), pipeline=[], beta=(200.0, 200.0))
    assert all(6 <= value <= 10 for told in stitches(middle) for value in told["boundary"])
    small = CropAndStitchDataset(inner(root, LOAD), pipeline=[], size=(8, 12))
    assert small[6]["img"].shape[:2] == small[6]["gt_seg_map"].shape == (8, 12)
    assert small[0]["img"].shape[:2] == (SIDE, SIDE)


def test_the_inner_pipeline_is_divided_after_its_labels_are_mapped(root):
    steps = [*LOAD, {"type": "mmrs.MapLabels", "label_map": {2: 255}}, *LATER]
    dataset = CropAndStitchDataset(inner(root, steps))
    assert [type(step).__name__ for step in dataset.dataset.pipeline.transforms] == [
        "LoadImageFromFile",
        "LoadAnnotations",
        "MapLabels",
    ]
    assert [type(step).__name__ for step in dataset.pipeline.transforms] == [
        "RandomFlip",
        "PackSegInputs",
    ]
    assert set(np.unique(arrays(dataset[6])[1])) <= {0, 1, 255}


def test_a_data_set_that_is_built_and_one_of_one_image_work(root):
    built = BaseSegDataset(**{k: v for k, v in inner(root).items() if k != "type"})
    assert len(CropAndStitchDataset(built)) == 12
    single = CropAndStitchDataset(inner(root, LOAD, indices=1), pipeline=[])
    assert len(single) == 2
    assert set(single[1]["stitch"]["img_paths"]) == {f"{root}/img/train/t0.png"}
    few = CropAndStitchDataset(inner(root, LOAD, indices=3), pipeline=[])
    assert all(told["img_paths"][0] not in told["img_paths"][1:] for told in stitches(few))


def test_several_data_sets_are_stitched_with_each_other(root):
    both = {"type": "ConcatDataset", "datasets": [inner(root, LOAD), inner(root, LOAD)]}
    dataset = CropAndStitchDataset(both, pipeline=LATER)
    assert len(dataset) == 24
    assert arrays(dataset[13])[0].shape == (3, SIDE, SIDE)
    assert list(leaf_datasets(dataset)) == dataset.dataset.datasets
    with pytest.raises(ConfigError, match="ConcatDataset has no pipeline"):
        CropAndStitchDataset(both)


def test_a_lazy_inner_data_set_is_listed(root):
    assert len(CropAndStitchDataset(inner(root, lazy_init=True))) == 12


def test_what_cannot_be_divided_or_stitched_is_told_in_one_line(root):
    with pytest.raises(ConfigError, match="BaseSegDataset has no pipeline with LoadAnnotations"):
        CropAndStitchDataset(inner(root, LOAD[:1]))
    with pytest.raises(ConfigError, match="a sample has no 'img'"):
        CropAndStitchDataset(inner(root), pipeline=LATER)[6]
    Image.new("RGB", (SIDE, 20)).save(root / "img/train/t4.png")
    Image.new("L", (SIDE, 20)).save(root / "ann/train/t4.png")
    dataset = CropAndStitchDataset(inner(root))
    with pytest.raises(DataError, match=r"is 20 x 16, but must be as the image .* 16 x 16"):
        for _ in dataset:
            pass


def test_a_wrong_label_is_found_where_its_file_is_still_known(root):
    path = root / "ann/train/t3.png"
    Image.new("L", (SIDE, SIDE), 9).save(path)
    dataset = CropAndStitchDataset(inner(root))
    for index in (3, 9):
        with pytest.raises(LabelError, match=rf"{path}: value 9 at \(row 0, col 0\)"):
            dataset[index]


def config(root, **changes):
    cfg = Config(tiny_config(root, **changes))
    cfg.train_dataloader.dataset = {
        "type": "mmrs.CropAndStitchDataset",
        "dataset": cfg.train_dataloader.dataset,
    }
    return cfg


def test_the_look_at_the_data_walks_into_it(root):
    (table,) = check_data(config(root), ["train"])
    assert table.key == "train_dataloader.dataset" and table.files == 6
    path = root / "ann/train/t5.png"
    Image.new("L", (SIDE, SIDE), 9).save(path)
    with pytest.raises(LabelError, match=f"{path}: value 9"):
        check_data(config(root), ["train"])
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: there is no such file"):
        check_data(config(root), ["train"])


def test_reading_is_guarded_in_the_workers(root):
    dataset = CropAndStitchDataset(inner(root))
    (leaf,) = leaf_datasets(dataset)
    assert leaf is dataset.dataset
    assert guard_dataset(dataset) == 1
    assert isinstance(leaf.pipeline, GuardedPipeline)
    (root / "img/train/t2.png").write_text("no picture")
    with pytest.raises(DataError, match=r"t2.png: cannot be read as an image"):
        dataset[8]


def test_one_line_of_a_config_trains_on_it(root):
    config(root, train_dataloader__num_workers=2).dump(root / "doubled.py")
    runner = train(root / "doubled.py", work_dir=root / "work")
    assert len(runner.train_dataloader.dataset) == 12
    assert runner.iter == 2
