"""The numbers of the dilated-SPP paper that its configs must show: sizes, data, schedule."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmseg.registry import DATASETS, MODELS, PARAM_SCHEDULERS
from torch import nn

from mmrs.apis.config.config_check import check_config
from mmrs.datasets import PotsdamDataset
from tests.configs.small import load
from tests.fake_data import make_isprs, make_loveda

MAIN = "dilated_spp/dilated_spp_potsdam.py"
ROWS = ("both", "sub_pixel", "augmentation", "deeplabv3plus")


def build_on_meta(config) -> nn.Module:
    with torch.device("meta"):
        return MODELS.build(config.model)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_model_has_the_papers_62_03_million_parameters():
    model = build_on_meta(load(MAIN))
    parts = {name: count(part) for name, part in model.named_children() if count(part)}
    assert parts == {
        # torchvision's ResNet-101, 44,549,160, without its classifier of 2048 x 1000 + 1000
        "backbone": 44_549_160 - 2_049_000,
        # four 3x3 2048 -> 256, a 1x1 1024 -> 256, each with a batch norm
        "neck": 4 * (2048 * 256 * 9 + 512) + 1024 * 256 + 512,
        # 1x1 256 -> 16 x 16 x 6, without bias
        "decode_head": 256 * 16**2 * 6,
    }
    assert abs(count(model) / 62.03e6 - 1) < 1e-4


def test_a_3x3_before_the_shuffle_would_have_65_18_million():
    config = load(MAIN)
    config.model.decode_head.kernel_size = 3
    assert abs(count(build_on_meta(config)) / 65.18e6 - 1) < 1e-4


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (33, 47)])
def test_logits_leave_at_full_size_from_a_map_of_stride_16(size):
    config = load(MAIN)
    config.model.backbone.depth = 50
    model = build_on_meta(config).eval()
    image = torch.empty(1, 3, *size, device="meta")
    (pyramid,) = model.extract_feat(image)
    assert pyramid.shape == (1, 256, -(-size[0] // 16), -(-size[1] // 16))
    meta = [{"img_shape": size}]
    assert model.encode_decode(image, meta).shape == (1, 6, *size)


def test_rows_differ_from_the_complete_run_in_what_their_names_say():
    complete = load(MAIN).to_dict()
    rows = {row: load(f"dilated_spp/ablation/{row}.py").to_dict() for row in ROWS}
    assert rows["both"] == complete
    stitched = {
        row: "CropAndStitch" in rows[row]["train_dataloader"]["dataset"]["type"] for row in ROWS
    }
    assert stitched == {
        "both": True,
        "sub_pixel": False,
        "augmentation": True,
        "deeplabv3plus": False,
    }
    plain = complete["train_dataloader"]["dataset"]["dataset"]
    for row, config in rows.items():
        if not stitched[row]:
            assert config["train_dataloader"]["dataset"] == plain
        head = config["model"]["decode_head"]["type"]
        assert (head == "mmrs.SubPixelHead") == (row in ("both", "sub_pixel"))
        assert config["model"]["backbone"] == complete["model"]["backbone"]
        for key in set(complete) - {"model", "train_dataloader", "norm_cfg"}:
            assert config[key] == complete[key], (row, key)
    assert rows["augmentation"]["model"]["neck"] == complete["model"]["neck"]
    assert rows["deeplabv3plus"]["model"]["neck"] is None


def test_the_rate_falls_from_0_007_to_1e_6_in_30000_steps():
    config = load(MAIN)
    wrapper = build_optim_wrapper(nn.Linear(1, 1), config.optim_wrapper)
    (settings,) = config.param_scheduler
    scheduler = PARAM_SCHEDULERS.build(settings, default_args={"optimizer": wrapper.optimizer})
    rates = []
    for _ in range(config.train_cfg.max_iters):
        rates.append(wrapper.optimizer.param_groups[0]["lr"])
        wrapper.step()
        scheduler.step()
    assert len(rates) == 30_000
    assert rates[0] == 0.007
    assert rates[15_000] == pytest.approx((0.007 - 1e-6) * 0.5**0.9 + 1e-6, rel=1e-3)
    assert rates[-1] == pytest.approx(1e-6, rel=0.7)
    group = wrapper.optimizer.param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.9, 2e-4)
    assert config.train_dataloader.batch_size == 10


def test_training_tiles_are_doubled_and_no_image_is_in_two_splits(tmp_path):
    images = [PotsdamDataset.SPLITS[f"dilated_spp_{part}"][0] for part in ("train", "val", "test")]
    make_isprs(tmp_path, {"": images}, num_tiles=4, tile_px=16)
    config = load(MAIN)
    config.train_dataloader.dataset.dataset.data_root = str(tmp_path)
    train = DATASETS.build(config.train_dataloader.dataset)
    assert len(train) == 8
    for packed in train:
        labels = packed["data_samples"].gt_sem_seg.data.numpy()
        assert packed["inputs"].shape == (3, 16, 16) and labels.shape == (1, 16, 16)
        assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 5, 255}
        assert f"/{images[0]}_" in packed["data_samples"].img_path
    for split, image in zip(("val", "test"), images[1:], strict=True):
        config[f"{split}_dataloader"].dataset.data_root = str(tmp_path)
        dataset = DATASETS.build(config[f"{split}_dataloader"].dataset)
        assert len(dataset) == 4
        assert f"/{image}_" in dataset[0]["data_samples"].img_path


@pytest.mark.parametrize(
    "name",
    [
        MAIN,
        "dilated_spp/ablation/deeplabv3plus.py",
        "mix/pspnet-r18_crop-and-stitch_4xb4-80k_loveda-512x512.py",
        "mix/deeplabv3plus-r18_doubled-set_4xb4-80k_vaihingen-512x512.py",
    ],
)
def test_the_checks_before_a_run_know_every_key(name):
    check_config(load(name), "train")


@pytest.mark.filterwarnings("ignore:`reduce_zero_label` will be deprecated:UserWarning")
def test_mixed_runs_stitch_the_tiles_of_stock_data_sets(tmp_path):
    make_loveda(tmp_path / "loveda", num_train=4, num_val=0, num_test=0, size_px=(32, 32))
    config = load("mix/pspnet-r18_crop-and-stitch_4xb4-80k_loveda-512x512.py")
    mixed = config.train_dataloader.dataset
    mixed.dataset.data_root = str(tmp_path / "loveda")
    dataset = DATASETS.build(mixed)
    labels = [dataset[i]["data_samples"].gt_sem_seg.data for i in range(4)]
    assert all(set(label.unique().tolist()) <= {*range(7), 255} for label in labels)

    make_isprs(tmp_path / "vaihingen", {"train": ["area1"]}, num_tiles=4, tile_px=32)
    config = load("mix/deeplabv3plus-r18_doubled-set_4xb4-80k_vaihingen-512x512.py")
    doubled = config.train_dataloader.dataset
    doubled.dataset.data_root = str(tmp_path / "vaihingen")
    dataset = DATASETS.build(doubled)
    assert len(dataset) == 8
    names = [type(step).__name__ for step in dataset.pipeline.transforms]
    assert names[0] == "RandomResize" and names[-1] == "PackSegInputs"
    assert set(dataset[6]["data_samples"].gt_sem_seg.data.unique().tolist()) <= {*range(6), 255}
