"""Pre-training configs: MoCo's are built and stepped once on their own data."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, FUNCTIONS, MODELS
from PIL import Image

from mmrs.apis.config.config_check import check_config
from tests.configs.small import CONFIGS, load

MOCO = sorted(p.relative_to(CONFIGS).as_posix() for p in CONFIGS.glob("pretrain/*mocov2*.py"))
PAPER = "pretrain/hiresnet_mocov2_millionaid.py"
MAPILLARY = "pretrain/hiresnet_supervised_mapillary.py"


def small(name: str, root) -> Config:
    """The same types and options on two pictures of 64 px."""
    rng = np.random.default_rng(0)
    for number in range(2):
        path = root / "images" / "train" / f"p{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    config = load(name)
    config.model.backbone.update(num_modules=(1, 1), num_blocks=(1, 1), num_funnel_blocks=1)
    config.model.queue_len = 5
    dataset = config.train_dataloader.dataset
    dataset.update(data_root=str(root), size=32)
    dataset.pipeline[0].transforms[0].scale = 32
    return config


def test_there_are_two():
    assert [name.rpartition("/")[2] for name in MOCO] == [
        "hiresnet_mocov2_millionaid.py",
        "hiresnet_tiny_mocov2_rasters.py",
    ]


@pytest.mark.parametrize("name", MOCO)
def test_config_steps_once_on_its_own_data(name, tmp_path):
    torch.manual_seed(0)
    config = small(name, tmp_path)
    check_config(config, "train")
    model = MODELS.build(config.model).train()
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    before = copy.deepcopy(dict(model.named_parameters()))
    reached = set()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda p: reached.add(id(p)))
    dataset = DATASETS.build(config.train_dataloader.dataset)
    collate = FUNCTIONS.get(config.train_dataloader.collate_fn.type)
    batch = collate([dataset[i] for i in range(4)])
    assert [view.shape for view in batch["inputs"]] == [(4, 3, 32, 32)] * 2
    assert not torch.equal(*batch["inputs"])

    logs = model.train_step(batch, optim_wrapper)

    assert set(logs) == {"loss", "top1", "top5"} and torch.isfinite(logs["loss"])
    assert model.queue_ids.tolist() == [0, 1, 2, 3, -1]
    assert model.last_embeddings.shape == (4, config.model.feat_dim)
    idle = [k for k, p in model.named_parameters() if p.requires_grad and id(p) not in reached]
    assert not idle, f"no gradient reaches {idle}"
    frozen = [k for k, p in model.named_parameters() if not p.requires_grad]
    assert frozen and all(key.startswith("encoder_k.") for key in frozen)
    moved = [k for k, p in model.named_parameters() if (p != before[k]).any()]
    assert len(moved) > 0.4 * len(before)


@pytest.mark.parametrize("name", MOCO)
def test_header_says_that_no_weights_ship_and_the_readme_links_it(name):
    text = (CONFIGS / name).read_text(encoding="utf-8").partition("_base_")[0].replace("# ", "")
    assert "No trained weights ship with mmrs" in " ".join(text.split())
    assert f"]({name.partition('/')[2]})" in (CONFIGS / "pretrain/README.md").read_text("utf-8")


def test_the_papers_numbers_are_in_the_configs():
    config = load(PAPER)
    assert config.optim_wrapper.optimizer.lr == 0.015
    assert config.train_dataloader.batch_size == 64
    assert config.train_cfg.max_iters == config.param_scheduler[0].T_max == 3_125_000
    assert config.train_dataloader.dataset.size == 400
    assert (config.model.temperature, config.model.key_momentum) == (0.2, 0.999)
    config = load(MAPILLARY)
    assert config.optim_wrapper.optimizer.lr == 5e-5
    assert config.train_dataloader.batch_size == 80
    assert config.train_cfg.max_iters == 3_125_000
    assert config.model.decode_head.num_classes == 66
    windows = config.train_dataloader.dataset.window_sampler
    assert (tuple(windows["size"]), windows["length"]) == ((256, 256), 400_000)


def test_pre_trained_and_fine_tuned_backbones_are_one():
    """Weights of the one fit the other: same modules, same widths."""
    paper = load("hiresnet/hiresnet_loveda.py").model.backbone
    for name in (PAPER, MAPILLARY):
        assert load(name).model.backbone == paper
    tiny = load("hiresnet/hiresnet_tiny_loveda.py").model.backbone
    assert load("pretrain/hiresnet_tiny_mocov2_rasters.py").model.backbone == tiny


def test_every_checkpoint_leaves_one_before_it():
    """A run killed while it saves goes on from the last but one."""
    for name in (*MOCO, MAPILLARY):
        assert load(name).default_hooks.checkpoint.max_keep_ckpts >= 2


def test_parameters_of_the_tiny_backbone_are_as_the_readme_says():
    backbone = MODELS.build(load("pretrain/hiresnet_tiny_mocov2_rasters.py").model.backbone)
    count = sum(parameter.numel() for parameter in backbone.parameters())
    readme = (CONFIGS / "pretrain/README.md").read_text(encoding="utf-8")
    assert f"{count / 1e6:.2f} M parameters" in readme
