"""Runs of the configs by MMEngine's Runner, on a miniature LoveDA and with the tiny model."""

import zipfile

import numpy as np
import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.configs.small import SIDE_PX, load, shrink
from tests.fake_data import make_loveda, read_png

pytestmark = [
    # MMSegmentation's tools switch this hook on when they are asked to show predictions
    pytest.mark.filterwarnings("ignore:The draw is False:UserWarning"),
    # accumulation: the schedule steps every iteration, the optimiser every fourth
    pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step:UserWarning"),
]


class CollectRates(Hook):
    priority = "VERY_HIGH"

    def __init__(self, rates):
        self.rates = rates

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.get_lr()["lr"][0])


def prepare(name, tmp_path, num_train):
    """A config with the tiny model on miniature data, everything else as it is."""
    root = make_loveda(tmp_path / "data", num_train=num_train, num_val=2, num_test=2)
    config = load(f"hiresnet/{name}.py")
    accumulation = config.optim_wrapper.get("accumulative_counts", 1)
    config.model = shrink(load("hiresnet/hiresnet_tiny_loveda.py")).model
    config.optim_wrapper.accumulative_counts = accumulation
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        if loader is None:
            continue
        loader.update(num_workers=0, persistent_workers=False)
        for dataset in loader.dataset.get("datasets", [loader.dataset]):
            dataset.data_root = str(root)
            for step in dataset.pipeline:
                if step.type == "RandomCrop":
                    step.crop_size = (SIDE_PX, SIDE_PX)
    config.work_dir = str(tmp_path / "work")
    config.log_level = "ERROR"
    config.env_cfg.cudnn_benchmark = False
    return config


def test_accumulation_steps_every_16_images_and_keeps_the_schedule(tmp_path):
    config = prepare("hiresnet_loveda_1gpu", tmp_path, num_train=16)
    config.train_cfg.update(max_epochs=2, val_interval=2)
    runner = Runner.from_cfg(config)
    rates = []
    runner.register_hook(CollectRates(rates))

    runner.train()

    steps = {int(state["step"]) for state in runner.optim_wrapper.optimizer.state.values()}
    assert runner.iter == 8  # two epochs of 16 images, 4 at a time
    assert steps == {2}  # one step for 16 images
    # 3 epochs of 4 iterations warm up: linear in the iterations, whatever the accumulation
    expected = [1e-4 * (1e-3 + (1 - 1e-3) * i / 11) for i in range(8)]
    assert rates == pytest.approx(expected, rel=1e-3)
    assert 0 <= runner.message_hub.get_scalar("val/mIoU").current() <= 100


def test_trainval_run_trains_without_validation_and_its_test_writes_the_submission(tmp_path):
    config = prepare("hiresnet_loveda_trainval", tmp_path, num_train=2)
    config.train_cfg.max_epochs = 1
    config.train_dataloader.batch_size = 2
    config.test_evaluator.out_dir = str(tmp_path / "submission")
    runner = Runner.from_cfg(config)

    runner.train()
    assert runner.iter == 2  # 2 + 2 images
    assert runner.test() == {}

    with zipfile.ZipFile(tmp_path / "submission" / "submission.zip") as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    assert names == ["4.png", "5.png"]
    for name in names:
        ids = read_png(tmp_path / "unpacked" / name)
        assert ids.shape == (64, 64)
        assert ids.dtype == np.uint8
        assert ids.max() <= 6
