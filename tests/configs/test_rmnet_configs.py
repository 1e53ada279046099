"""The numbers of the paper that RMNet's configs must show: sizes, switches, scores, schedule."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import DATASETS, METRICS, MODELS
from torch import nn

from tests.configs.small import load
from tests.fake_data import make_whdld, read_png

ROWS = ("cnet", "cnet_rbm", "cnet_msfm", "rmnet")


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def build_on_meta(name: str, **neck) -> nn.Module:
    config = load(f"rmnet/{name}_whdld.py")
    if neck:
        config.model.neck.update(neck)
    with torch.device("meta"):
        return MODELS.build(config.model)


def msfm(below: int, width: int, skip: int, *, ways: int = 5, fused: int = 1) -> int:
    """Weights of one MSFM: 2x2 and 1x1 below -> width (ways = 4 + 1), two 3x3 with their norms."""
    return ways * below * width + 9 * width * (fused * width + skip + width) + 4 * width


DECODER = ((2048, 512, 1024), (512, 256, 512), (256, 128, 64), (128, 64, 64), (64, 32, 0))


@pytest.mark.parametrize(("fusion", "paper", "fused"), [("sum", 41.80, 1), ("concat", 44.95, 2)])
def test_parameters_of_the_full_model_are_the_papers(fusion, paper, fused):
    model = build_on_meta("rmnet", fusion=fusion)
    assert abs(count(model) / 1e6 / paper - 1) < 0.005
    assert count(model.backbone) == 23_391_296
    assert count(model.neck) == sum(msfm(*sizes, fused=fused) for sizes in DECODER)
    assert count(model.decode_head) == 32 * 6 + 6


@pytest.mark.parametrize(
    ("row", "millions"),
    [("unet", 28.95), ("cnet", 34.25), ("cnet_rbm", 36.91), ("cnet_msfm", 39.14)],
)
def test_parameters_of_the_ablation_are_those_of_the_readme(row, millions):
    assert abs(count(build_on_meta(row)) / 1e6 - millions) < 0.01


def test_plain_rows_miss_the_deconvolutions_and_the_shortcuts_only():
    full = count(build_on_meta("rmnet"))
    deconvolutions = sum(4 * below * width for below, width, _ in DECODER)
    shortcuts = sum(i * o + 2 * o for i, o in ((64, 512), (512, 1024), (1024, 2048)))
    assert full - count(build_on_meta("cnet_rbm")) == deconvolutions
    assert full - count(build_on_meta("cnet_msfm")) == shortcuts
    assert full - count(build_on_meta("cnet")) == deconvolutions + shortcuts


def test_rows_differ_in_their_switches_only():
    configs = {row: load(f"rmnet/{row}_whdld.py").to_dict() for row in ROWS}
    switches = {
        row: (
            config["model"]["backbone"].pop("residual"),
            config["model"]["neck"].pop("upsampling"),
        )
        for row, config in configs.items()
    }
    assert switches == {
        "cnet": (False, "plain"),
        "cnet_rbm": (True, "plain"),
        "cnet_msfm": (False, "msfm"),
        "rmnet": (True, "msfm"),
    }
    assert all(config == configs["rmnet"] for config in configs.values())


def test_unet_has_the_loss_the_data_and_the_schedule_of_the_others():
    unet, rmnet = (load(f"rmnet/{row}_whdld.py").to_dict() for row in ("unet", "rmnet"))
    losses = [config.pop("model")["decode_head"]["loss_decode"] for config in (unet, rmnet)]
    assert losses[0] == losses[1] == {"type": "mmrs.DiceFocalLoss", "focal": "standard"}
    assert unet == rmnet


@pytest.mark.parametrize("row", [*ROWS, "unet"])
def test_logits_have_the_size_of_the_image(row):
    model = build_on_meta(row).eval()
    with torch.no_grad():
        logits = model(torch.empty(1, 3, 256, 256, device="meta"))
    assert logits.shape == (1, 6, 256, 256)


def test_random_weights_are_one_option_away():
    config = load("rmnet/rmnet_whdld.py")
    assert config.model.backbone.init_cfg.checkpoint == "torchvision://resnet50"
    config.merge_from_dict({"model.backbone.init_cfg": None})
    config.model.backbone.update(base_channels=2, num_blocks=(1, 1, 1, 1))
    backbone = MODELS.build(config.model.backbone)
    backbone.init_weights()
    assert backbone.pretrained is None
    # Kaiming by fan_out: 2 channels out, 49 pixels
    assert backbone.conv1.weight.std().item() == pytest.approx((2 / 98) ** 0.5, rel=0.2)


def test_labels_of_both_splits_are_one_down(tmp_path):
    config = load("rmnet/rmnet_whdld.py")
    make_whdld(tmp_path, [f"wh{n:04d}" for n in range(1, 8)], palette=[(n, n, n) for n in range(6)])
    names = []
    for loader in (config.train_dataloader, config.val_dataloader):
        settings = ConfigDict(loader.dataset, data_root=str(tmp_path))
        settings.pipeline = config.val_dataloader.dataset.pipeline  # without the random steps
        for packed in DATASETS.build(settings):
            sample = packed["data_samples"]
            stored = read_png(sample.seg_map_path)
            np.testing.assert_array_equal(sample.gt_sem_seg.data[0], stored - 1)
            names.append(sample.img_path.rpartition("/")[2])
    # derived in tests/datasets/test_whdld.py
    assert names == [f"wh000{n}.jpg" for n in (2, 3, 4, 5, 6, 1, 7)]


def test_printed_scores_are_the_papers_five_and_it_trains_100_epochs():
    config = load("rmnet/rmnet_whdld.py")
    for evaluator in (config.val_evaluator, config.test_evaluator):
        names = METRICS.build(evaluator).score_names
        assert names == ("OA", "AA", "Kappa", "mIoU", "mF1")
    assert config.train_cfg.max_epochs == config.param_scheduler[0].end == 100
