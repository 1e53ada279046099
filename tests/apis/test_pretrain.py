"""Pre-training from pictures to a checkpoint: resumed, killed, and refused where it cannot work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmrs.apis.resume_point import find_resume_point
from mmrs.apis.train import train
from mmrs.errors import CheckpointError, ConfigError

ROOT = Path(__file__).resolve().parents[2]
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


@pytest.mark.parametrize("workers", [0, 2])
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


# MMEngine's schedules step with each iteration
@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step:UserWarning")
def test_accumulated_steps_train_and_the_keys_follow_them(data, tmp_path):
    runner = train(small(data, optim_wrapper__accumulative_counts=2), work_dir=tmp_path)
    assert runner.model.key_updates == 2


def test_a_queue_too_long_for_the_data_is_refused_before_the_first_step(data, tmp_path):
    with pytest.raises(ConfigError, match=r"queue_len is 7, but the data set has 8 images and a "):
        train(small(data, model__queue_len=7), work_dir=tmp_path)
    assert not list(tmp_path.glob("*.pth"))
    train(small(data, model__queue_len=6, train_cfg__max_iters=1), work_dir=tmp_path)


def test_a_misspelt_key_of_the_projection_is_told(data, tmp_path):
    cfg = small(data)
    cfg.model.projector.hidden_channels = cfg.model.projector.pop("hid_channels")
    with pytest.raises(ConfigError, match=r"projector.hidden_channels.* mean hid_channels"):
        train(cfg, work_dir=tmp_path)


def test_a_killed_run_loses_at_most_one_interval(data, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.apis.test_pretrain", str(data), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "iter_4.pth").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    # perhaps in the middle of writing it
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    point = find_resume_point(tmp_path)
    done = int(point.stem.removeprefix("iter_"))
    assert done >= 2
    runner = train(small(data, train_cfg__max_iters=done + 1), work_dir=tmp_path, resume=True)
    assert runner.iter == done + 1


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
    assert find_resume_point(tmp_path) is None


if __name__ == "__main__":
    train(small(Path(sys.argv[1]), train_cfg__max_iters=10_000), work_dir=sys.argv[2])
