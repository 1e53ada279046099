"""Pre-training from pictures to a checkpoint: resumed, and refused where it cannot work."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmrs.apis.resume_point import find_resume_point
from mmrs.apis.train import train
from mmrs.errors import CheckpointError, ConfigError
from tests.configs.small import load, shrink
from tests.fake_data import make_geotiff

ROOT = Path(__file__).resolve().parents[2]
LONG = pytest.mark.skipif(not os.environ.get("MMRS_LONG_TESTS"), reason="MMRS_LONG_TESTS is unset")
CONFIG = ROOT / "configs" / "pretrain" / "hiresnet_tiny_mocov2_rasters.py"


def write_pictures(root: Path) -> None:
    """Two pictures of 64 px of patches: 8 windows of 32 px."""
    folder = root / "images" / "train"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(2):
        patches = rng.integers(0, 256, (8, 8, 3))
        picture = np.kron(patches, np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"p{number}.png")


def options(root: Path, **changes) -> dict:
    """Dotted keys that make the tiny run a run of seconds; ``__`` for dots."""
    found = {
        "train_dataloader.dataset.data_root": str(root),
        "train_dataloader.dataset.size": 32,
        "train_dataloader.batch_size": 2,
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "model.queue_len": 5,
        "model.backbone.num_blocks": (1, 1),
        "model.backbone.num_funnel_blocks": 1,
        "train_cfg.max_iters": 4,
        "default_hooks.logger.interval": 1,
        "default_hooks.checkpoint.interval": 2,
    }
    return found | {key.replace("__", "."): value for key, value in changes.items()}


def small(root: Path, **changes) -> Config:
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.pipeline[0].transforms[0].scale = 32
    cfg.merge_from_dict(options(root, **changes))
    return cfg


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root)
    return root


@pytest.fixture(scope="module")
def whole(data):
    """A run of four steps without a stop."""
    train(small(data), work_dir=data / "whole")
    return data / "whole"


def state_of(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=False)


def test_a_run_leaves_checkpoints_of_encoder_keys_and_queue(whole):
    saved = state_of(whole / "iter_4.pth")["state_dict"]
    assert any(key.startswith("backbone.") for key in saved)
    assert any(key.startswith("encoder_k.") for key in saved)
    # four steps of two images into a queue of five
    assert saved["queue_pointer"] == 8 % 5
    assert saved["key_updates"] == 4
    assert set(saved["queue_ids"].tolist()) <= set(range(8))
    first = state_of(whole / "iter_2.pth")["state_dict"]
    ours = [key for key in saved if key.startswith("backbone.")]
    assert sum(not torch.equal(saved[key], first[key]) for key in ours) > len(ours) / 2
    # what fine-tuning is going to compare its data with
    contract = state_of(whole / "iter_4.pth")["meta"]["channel_contract"]
    assert (contract["bands"], contract["dtype"]) == (3, "uint8")


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=LONG)])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(data, whole, workers, tmp_path):
    """Other draws of the augmentation, another order, or a lost queue would show."""
    keys = {"train_dataloader__num_workers": workers}
    # the schedule knows the whole length
    train(small(data, train_cfg__max_iters=2, **keys), work_dir=tmp_path)
    train(small(data, **keys), work_dir=tmp_path, resume=True)
    ours, theirs = (state_of(p / "iter_4.pth") for p in (tmp_path, whole))
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    for key, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][key], value), key
    for index, state in theirs["optimizer"]["state"].items():
        for key, value in state.items():
            assert torch.equal(ours["optimizer"]["state"][index][key], value), key


@LONG
# MMEngine's schedules step with each iteration
@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step:UserWarning")
def test_accumulated_steps_train_and_the_keys_follow_them(data, tmp_path):
    runner = train(small(data, optim_wrapper__accumulative_counts=2), work_dir=tmp_path)
    assert runner.model.key_updates == 2


def test_a_queue_too_long_for_the_data_is_refused_before_the_first_step(data, tmp_path):
    with pytest.raises(ConfigError, match=r"queue_len is 7, but the data set has 8 images and a "):
        train(small(data, model__queue_len=7), work_dir=tmp_path)
    assert not list(tmp_path.glob("*.pth"))


def test_four_bands_of_16_bits_pretrain_with_the_scaling_of_training(tmp_path):
    """What docs/pretraining.md says to change for other bands."""
    for number in range(2):
        path = tmp_path / "images" / "train" / f"s{number}.tif"
        make_geotiff(path, size_px=(64, 64), bands=4, dtype="uint16", seed=number)
    cfg = small(tmp_path, train_cfg__max_iters=2)
    images = {"type": "percentile", "low": 2, "high": 98, "images": "images/train"}
    cfg.train_dataloader.dataset.update(scaling=images, cache_dir=str(tmp_path / "cache"))
    cfg.model.backbone.in_channels = 4
    cfg.model.data_preprocessor.update(mean=None, std=None)
    for step in cfg.train_dataloader.dataset.pipeline[0].transforms:
        if step.type == "mmrs.PhotometricDistortion":
            step.value_range = (0, 1)
    train(cfg, work_dir=tmp_path / "w")
    saved = state_of(tmp_path / "w" / "iter_2.pth")
    assert saved["meta"]["channel_contract"]["bands"] == 4
    assert saved["meta"]["channel_contract"]["scaling"]["kind"] == "percentile"
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


def test_mmpretrains_own_data_sets_serve_and_need_no_classes(data, tmp_path, capsys):
    cfg = small(data, train_cfg__max_iters=1)
    steps = [{"type": "LoadImageFromFile"}, *cfg.train_dataloader.dataset.pipeline]
    root = str(data / "images")
    cfg.train_dataloader.sampler = {"type": "InfiniteSampler", "shuffle": True}
    cfg.train_dataloader.dataset = {
        **{"type": "CustomDataset", "data_root": root, "with_label": False},
        "pipeline": steps,
    }
    cfg.model.queue_len = 1
    cfg.train_dataloader.batch_size = 1
    train(cfg, work_dir=tmp_path)
    assert "no class names; pre-training needs no labels" in capsys.readouterr().out
    # the ids are MMPreTrain's own: two pictures
    saved = state_of(tmp_path / "iter_1.pth")["state_dict"]
    assert saved["queue_ids"].tolist() in ([0], [1])


@pytest.mark.filterwarnings("ignore:The draw is False:UserWarning")
def test_street_scenes_pretrain_with_crops_by_class_balance(tmp_path):
    """The supervised config on a tree as tools/prepare_dataset.py writes it."""
    rng = np.random.default_rng(0)
    for part in ("training", "validation"):
        for folder in ("images", "v1.2/labels"):
            (tmp_path / part / folder).mkdir(parents=True)
        for number in range(2):
            label = np.kron(rng.integers(0, 66, (6, 6)), np.ones((16, 16), int)).astype(np.uint8)
            image = rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / part / "images" / f"i{number}.jpg")
            Image.fromarray(label).save(tmp_path / part / "v1.2" / "labels" / f"i{number}.png")
    cfg = shrink(load("pretrain/hiresnet_supervised_mapillary.py"))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(tmp_path), cache_dir=str(tmp_path / "cache"))
        loader.dataset.window_sampler.size = (64, 64)
    cfg.train_dataloader.dataset.window_sampler.length = 8
    cfg.model.test_cfg = {"mode": "whole"}
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    runner = train(cfg, work_dir=tmp_path / "w")
    windows = runner.train_dataloader.dataset
    # drawn once for all epochs
    assert [windows.get_data_info(i)["window"] for i in range(8)] == [
        windows.get_data_info(i)["window"] for i in range(8)
    ]
    assert "best_mIoU_iter_2.pth" in os.listdir(tmp_path / "w")


def test_a_misspelt_key_of_the_projection_is_told(data, tmp_path):
    cfg = small(data)
    cfg.model.projector.hidden_channels = cfg.model.projector.pop("hid_channels")
    with pytest.raises(ConfigError, match=r"projector.hidden_channels.* mean hid_channels"):
        train(cfg, work_dir=tmp_path)


def test_half_a_checkpoint_and_an_empty_pointer_are_passed_over(whole, tmp_path):
    content = (whole / "iter_2.pth").read_bytes()
    (tmp_path / "iter_2.pth").write_bytes(content)
    (tmp_path / "iter_4.pth").write_bytes(content[: len(content) // 2])
    (tmp_path / "last_checkpoint").write_text("")
    assert find_resume_point(tmp_path) == tmp_path / "iter_2.pth"
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_4.pth"))
    assert find_resume_point(tmp_path) == tmp_path / "iter_2.pth"
    (tmp_path / "iter_2.pth").unlink()
    with pytest.raises(CheckpointError, match=r"none of 1 checkpoints is whole"):
        find_resume_point(tmp_path)
    (tmp_path / "iter_4.pth").unlink()
    (tmp_path / "last_checkpoint").unlink()
    assert find_resume_point(tmp_path) is None
