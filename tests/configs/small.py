"""Configs as a test can afford to run them: the same types and options, less depth and size."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

import mmrs  # noqa: F401 - `mmseg::` is found by virtue of this

CONFIGS = Path(__file__).parents[2] / "configs"
SIDE_PX = 64


def run_configs() -> list[str]:
    """Every config that is a run of a segmentor, relative to the folder of configs."""
    paths = (path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.py"))
    runs = sorted(path.as_posix() for path in paths if path.parts[0] != "_base_")
    return [run for run in runs if "mocov2" not in run]  # tests/configs/test_pretrain_configs.py


def load(name: str) -> Config:
    """One config, with its scope set as a Runner would."""
    config = copy.deepcopy(_load_once(name))
    init_default_scope(config.default_scope)
    return config


@functools.cache
def _load_once(name: str) -> Config:
    return Config.fromfile(CONFIGS / name)


def shrink(config: Config) -> Config:
    """Fewer blocks, small crops and windows, nothing downloaded; in place."""
    model = config.model
    model.data_preprocessor.size = (SIDE_PX, SIDE_PX)
    model.pretrained = None
    backbone = model.backbone
    if (backbone.get("init_cfg") or {}).get("type") == "Pretrained":
        backbone.init_cfg = None
    if backbone.type == "mmrs.HiResNet":
        backbone.update(num_modules=(1, 1), num_blocks=(1, 1), num_funnel_blocks=2)
    if backbone.type in ("HRNet", "mmrs.IFWHRNet"):
        for stage, settings in backbone.extra.items():
            if stage != "stage1":
                settings.num_modules = 1
                settings.num_blocks = (1,) * settings.num_branches
    if backbone.type in ("mmrs.RMNetEncoder", "UNet"):
        _narrow(model)
    if backbone.get("depth") == 101:
        backbone.depth = 50  # the same widths
    if model.test_cfg.mode == "slide":
        model.test_cfg.update(crop_size=(48, 48), stride=(32, 32))
    config.optim_wrapper.accumulative_counts = 1
    return config


def _narrow(model: ConfigDict, times: int = 8) -> None:
    """Divide the widths of an encoder from 64 channels on, and of what takes its maps."""
    model.backbone.base_channels = 64 // times
    if model.backbone.type == "mmrs.RMNetEncoder":
        model.backbone.num_blocks = (1, 1, 1, 1)
    parts = [model.get("neck"), model.decode_head, model.get("auxiliary_head")]
    for part in filter(None, parts):
        for key in ("in_channels", "out_channels", "channels"):
            if key in part:
                width = part[key]
                single = isinstance(width, int)
                part[key] = width // times if single else [w // times for w in width]
