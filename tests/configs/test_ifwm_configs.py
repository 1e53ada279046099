"""The numbers of the paper that IFWM's configs must show: sizes, variants, schedules, data."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmseg.registry import DATASETS, MODELS
from torch import nn

from mmrs.models.layers.flow_warp import FlowWarp
from tests.configs.small import load
from tests.fake_data import make_isprs

ABLATION = ("hrnet", "sf", "lsf", "rifw", "ifwm")
VAIHINGEN = [f"ifw_hrnet-{name}_vaihingen" for name in ("w18", "w32", "w48", "w48_poly")]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def build_on_meta(config) -> nn.Module:
    with torch.device("meta"):
        return MODELS.build(config.model)


@pytest.mark.parametrize(("width", "thousands"), [(18, 60), (32, 107), (48, 160)])
def test_overhead_of_the_full_model_is_the_papers(width, thousands):
    ours, stock = (load(f"ifwm/ifw_hrnet-w{width}_vaihingen.py") for _ in range(2))
    stock.model.backbone.type = "HRNet"
    overhead = count(build_on_meta(ours)) - count(build_on_meta(stock))
    assert overhead == 3336 * width  # derived in tests/models/backbones/test_ifw_hrnet.py
    # the paper prints thousands: half of one is 0.8 % of W18's, so 0.5 % is the stricter gate
    assert abs(overhead / 1e3 / thousands - 1) < 0.005
    assert ours.model.backbone.init_cfg.checkpoint == f"open-mmlab://msra/hrnetv2_w{width}"


def test_backbone_without_flows_is_mmsegmentations_w18():
    ours = load("ifwm/ifw_hrnet-w18_vaihingen.py").model.backbone
    stock = load("mix/fcn-hr18_ifw-hrnet_4xb4-80k_loveda-512x512.py").model.backbone
    assert ours.extra == stock.extra


def test_rows_of_the_ablation_differ_in_the_upward_paths_alone():
    configs = {name: load(f"ifwm/ablation/{name}.py") for name in ABLATION}
    variants = {}
    for name, config in configs.items():
        backbone = config.model.backbone
        variants[name] = (backbone.pop("type"), backbone.pop("variant", None))
    assert variants == {
        "hrnet": ("HRNet", None),
        **{name: ("mmrs.IFWHRNet", name) for name in ABLATION[1:]},
    }
    first = configs["hrnet"].to_dict()
    assert all(config.to_dict() == first for config in configs.values())


def test_rows_of_the_ablation_have_the_kernels_of_their_names():
    # with C channels and k = 3, 7, 15: see the counts of one module in test_flow_warp.py
    totals = {name: count(build_on_meta(load(f"ifwm/ablation/{name}.py"))) for name in ABLATION}
    overhead = {name: total - totals["hrnet"] for name, total in totals.items()}
    paths = 1 + 4 * 3 + 3 * 6
    width = 48
    # channels summed over the paths: C, 4 (C + C + 2 C), 3 (C + C + C + 2 C + 2 C + 4 C)
    channels = (1 + 4 * 4 + 3 * 11) * width
    assert overhead["ifwm"] == 3336 * width
    assert overhead["rifw"] == overhead["ifwm"] + 2 * 8 * channels
    assert overhead["lsf"] == 2 * (overhead["ifwm"] - 2 * channels)
    assert overhead["sf"] == 4 * 9 * channels
    model = build_on_meta(load("ifwm/ablation/sf.py"))
    assert sum(isinstance(part, FlowWarp) for part in model.modules()) == paths


def test_ablation_is_trained_and_tested_at_256():
    config = load("ifwm/ablation/ifwm.py")
    (crop,) = (s for s in config.train_dataloader.dataset.pipeline if s.type == "RandomCrop")
    assert tuple(crop.crop_size) == (256, 256)
    assert tuple(config.model.data_preprocessor.size) == (256, 256)
    assert tuple(config.model.test_cfg.crop_size) == (256, 256)


def rates(config, epochs: int, per_epoch: int = 3) -> list[float]:
    """The rate of the first step of every epoch."""
    wrapper = build_optim_wrapper(nn.Linear(1, 1), config.optim_wrapper)
    (settings,) = config.param_scheduler
    kind = PARAM_SCHEDULERS.get(settings.pop("type"))
    by_step = settings.pop("convert_to_iter_based", False)
    scheduler = (
        kind.build_iter_from_epoch(wrapper, **settings, epoch_length=per_epoch)
        if by_step
        else kind(wrapper, **settings)
    )
    seen = []
    for _ in range(epochs):
        seen.append(wrapper.get_lr()["lr"][0])
        for _ in range(per_epoch):
            wrapper.step()
            if by_step:
                scheduler.step()
        if not by_step:
            scheduler.step()
    return seen


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("ifw_hrnet-w48_vaihingen", 100),
        ("ifw_hrnet-w48_whu_building", 80),
        ("ablation/ifwm", 100),
    ],
)
def test_rate_decays_by_a_tenth_every_epoch(name, epochs):
    config = load(f"ifwm/{name}.py")
    assert config.train_cfg.max_epochs == epochs
    assert config.train_dataloader.batch_size == 8
    assert config.optim_wrapper.optimizer.type == "SGD"
    assert rates(config, 12) == pytest.approx([0.01 * 0.9**epoch for epoch in range(12)])


def test_poly_is_the_option_and_nothing_else_differs():
    poly, exponential = (load(f"ifwm/ifw_hrnet-w48{name}_vaihingen.py") for name in ("_poly", ""))
    # the last of the 300 steps is the first whose rate is 0
    expected = [0.01 * (1 - 3 * epoch / 299) ** 0.9 for epoch in range(100)]
    assert rates(load("ifwm/ifw_hrnet-w48_poly_vaihingen.py"), 100) == pytest.approx(expected)
    for config in (poly, exponential):
        config.pop("param_scheduler")
    assert poly.to_dict() == exponential.to_dict()


@pytest.mark.parametrize("name", VAIHINGEN)
def test_vaihingen_is_divided_11_to_5(name):
    config = load(f"ifwm/{name}.py")
    splits = [config[f"{part}_dataloader"].dataset.split for part in ("train", "val", "test")]
    assert splits == ["ifwm_train", "ifwm_test", "ifwm_test"]
    assert tuple(config.test_evaluator.exclude_from_mean) == ("clutter",)


def test_vaihingen_patches_are_turned_and_keep_their_size(tmp_path):
    make_isprs(tmp_path, {"": ["area1", "area11"]}, num_tiles=1, tile_px=600)
    settings = load("ifwm/ifw_hrnet-w48_vaihingen.py").train_dataloader.dataset
    settings.data_root = str(tmp_path)
    dataset = DATASETS.build(settings)
    assert len(dataset) == 1  # area11 is a test image
    np.random.seed(0)
    packed = [dataset[0] for _ in range(8)]
    assert {tuple(p["inputs"].shape) for p in packed} == {(3, 512, 512)}
    assert len({p["inputs"].numpy().tobytes() for p in packed}) > 1


def test_whu_building_scores_the_building_alone():
    config = load("ifwm/ifw_hrnet-w48_whu_building.py")
    assert tuple(config.test_evaluator.exclude_from_mean) == ("background",)
    prefixes = [
        config[f"{part}_dataloader"].dataset.data_prefix.img_path
        for part in ("train", "val", "test")
    ]
    assert prefixes == ["train/image", "val/image", "test/image"]
