"""Everything about a config that can be told wrong before anything is built or read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmrs.apis.config.config_classes import check_classes, leaf_datasets
from mmrs.apis.config.config_load import nearest
from mmrs.apis.config.config_types import check_types_and_keys, config_name
from mmrs.compat import check_compiled_operators
from mmrs.errors import ConfigError

Phase = Literal["train", "test"]

_NEEDED = {
    "train": ("model", "train_dataloader", "train_cfg", "optim_wrapper"),
    "test": ("model", "test_dataloader", "test_cfg", "test_evaluator"),
}


def check_config(cfg: Config, phase: Phase) -> None:
    """Raise at the first thing in a config that cannot work.

    Args:
        cfg: A whole config.
        phase: What it is going to be used for.

    Raises:
        ConfigError: File and key, the cause, the mend.
        EnvironmentError: The config needs operators that this mmcv has not.
    """
    name = config_name(cfg)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    for key in _NEEDED[phase]:
        if cfg.get(key) is None:
            guess = nearest(key, [k for k in cfg if k not in _NEEDED[phase]], cutoff=0.85)
            fix = f"{guess} looks like it: rename it" if guess else f"set {key}"
            raise ConfigError(f"{phase}ing needs {key}", where=name, fix=fix)
    if phase == "train":
        _check_validation(cfg, name)
    check_types_and_keys(cfg)
    check_compiled_operators({"model": cfg.model})
    check_classes(cfg, ("train", "val") if phase == "train" else ("test",))
    _check_inference(cfg, name)
    _check_data_prefix(cfg, name)


def _check_validation(cfg: Config, name: str) -> None:
    """Validation has three parts; MMEngine wants all or none."""
    parts = ("val_dataloader", "val_cfg", "val_evaluator")
    missing = [key for key in parts if cfg.get(key) is None]
    if missing and len(missing) < len(parts):
        present = next(key for key in parts if key not in missing)
        raise ConfigError(
            f"{present} is set, but {' and '.join(missing)} is not",
            where=name,
            fix=f"set {' and '.join(missing)}, or none of {', '.join(parts)}",
        )


def _check_inference(cfg: Config, name: str) -> None:
    """``model.test_cfg`` is read key by key, at the first evaluation."""
    test_cfg = cfg.model.get("test_cfg")
    if not isinstance(test_cfg, Mapping):
        return
    where = f"{name}: model.test_cfg"
    for key in test_cfg:
        for right in ("mode", "crop_size", "stride"):
            if key != right and right not in test_cfg and nearest(key, [right], cutoff=0.75):
                raise ConfigError(
                    "nothing reads this key", where=f"{where}.{key}", fix=f"did you mean {right}?"
                )
    mode = test_cfg.get("mode", "whole")
    if mode not in ("whole", "slide", "slide_flip"):
        raise ConfigError(
            f"mode {mode!r} is unknown", where=f"{where}.mode", fix="write 'whole' or 'slide'"
        )
    if mode == "slide":
        for key in ("crop_size", "stride"):
            value = test_cfg.get(key)
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise ConfigError(
                    f"mode='slide' needs {key}, got {value!r}",
                    where=f"{where}.{key}",
                    fix=f"set {key}=(rows, columns), in pixels",
                )


def _check_data_prefix(cfg: Config, name: str) -> None:
    """A misspelt folder key makes MMSeg look for labels nowhere, without a word."""
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader")
        if not isinstance(loader, Mapping):
            continue
        for path, dataset in leaf_datasets(loader.get("dataset"), f"{split}_dataloader.dataset"):
            prefix = dataset.get("data_prefix")
            if not isinstance(prefix, Mapping):
                continue
            for key in prefix:
                known = ("img_path", "img_path2", "seg_map_path", "depth_map_path")
                guess = None if key in known else nearest(key, known, cutoff=0.75)
                if guess is not None and guess not in prefix:
                    raise ConfigError(
                        "nothing reads this key",
                        where=f"{name}: {path}.data_prefix.{key}",
                        fix=f"did you mean {guess}?",
                    )
