"""How a config and its checkpoint want their model to be used on scenes: channels, windows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmrs.apis.channels.channel_config import (
    check_windows_can_follow,
    resizing,
    with_stated_scaling,
)
from mmrs.apis.channels.channel_contract import ChannelContract, check_same_channels
from mmrs.apis.config.config_types import config_name
from mmrs.apis.window.window_protocol import DEFAULT_WINDOW_PX, Size, as_size, half
from mmrs.compat import check_compiled_operators
from mmrs.errors import CheckpointError, ConfigError

logger = logging.getLogger(__name__)


def check_config(cfg: Config) -> None:
    """Refuse what no scene can be predicted by, and warn of what scenes do otherwise.

    Raises:
        ConfigError: Naming the key.
    """
    if cfg.get("model") is None:
        raise ConfigError("prediction needs model", where=config_name(cfg), fix="set model")
    check_compiled_operators({"model": cfg.model})
    check_windows_can_follow(cfg)
    resized = resizing(cfg)
    if resized is not None:
        logger.warning(
            "warning: %s: test_pipeline resizes images to %s, windows of scenes keep their size; "
            "where the images had another one, --scales FACTOR brings windows to it",
            config_name(cfg), resized,
        )  # fmt: skip


def whole_contract(
    stated: ChannelContract, meta: dict[str, Any], cfg: Config, checkpoint: str | Path
) -> ChannelContract:
    """The config's contract, compared with the checkpoint's and completed by it.

    Args:
        stated: The config's.
        meta: Of the checkpoint.
        cfg: The config.
        checkpoint: The file to name.

    Raises:
        CheckpointError: It was trained on other channels, or nothing says how values are scaled.
    """
    trained = ChannelContract.from_meta(meta, where=str(checkpoint))
    if trained is not None:
        check_same_channels(
            trained,
            stated,
            where=str(checkpoint),
            what=config_name(cfg),
            fix="use the config that it was trained with",
        )
        return stated.filled_by(trained)
    if not stated.scaling_known:
        stated = with_stated_scaling(stated, cfg)
    if not stated.scaling_known:
        raise CheckpointError(
            "it does not say how the values were scaled in training, and the config computes it "
            "from the training images",
            where=checkpoint,
            fix="write the numbers into scaling (min and max, or mean and std)",
        )
    return stated


def window_and_stride(cfg: Config) -> tuple[Size, Size]:
    """The config's own sliding windows, or the crops of its training, half a window apart.

    Raises:
        ConfigError: They are no sizes.
    """
    test_cfg = cfg.model.get("test_cfg") or {}
    if test_cfg.get("mode") == "slide":
        where = f"{config_name(cfg)}: model.test_cfg"
        missing = [key for key in ("crop_size", "stride") if test_cfg.get(key) is None]
        if missing:
            raise ConfigError(
                f"mode='slide' needs {missing[0]}",
                where=where,
                fix="set crop_size and stride, or mode='whole'",
            )
        return (
            as_size(test_cfg["crop_size"], f"{where}.crop_size"),
            as_size(test_cfg["stride"], f"{where}.stride"),
        )
    trained = cfg.get("crop_size") or (cfg.model.get("data_preprocessor") or {}).get("size")
    window = as_size(trained or DEFAULT_WINDOW_PX, f"{config_name(cfg)}: crop_size")
    return window, half(window)
