"""Channels of a config's data sets: what files hold, what is read of them, what the model takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from mmrs.apis.channels.channel_config import read_contract
from mmrs.apis.channels.channel_contract import ChannelContract, differences
from mmrs.apis.channels.channel_files import contract_of_dataset
from mmrs.apis.checks.findings import Finding
from mmrs.apis.config.config_types import resolve
from mmrs.errors import ConfigError, DataError, MmrsError


def expected_channels(cfg: Config) -> list[tuple[int, str]]:
    """How many channels the parts of a config's model take, and the keys that say so."""
    model = cfg.get("model")
    if not isinstance(model, Mapping):
        return []
    found = []
    for key, settings in (
        ("model.data_preprocessor", model.get("data_preprocessor")),
        ("data_preprocessor", cfg.get("data_preprocessor")),
    ):
        mean = settings.get("mean") if isinstance(settings, Mapping) else None
        if mean is not None and len(mean) > 1:
            found.append((len(mean), f"{key}.mean"))
            break
    backbone = model.get("backbone")
    if isinstance(backbone, Mapping):
        number = backbone.get("in_channels", _default_channels(backbone))
        if isinstance(number, int):
            found.append((number, "model.backbone.in_channels"))
    return found


def channel_findings(cfg: Config, splits: Mapping[str, Sequence[Any]]) -> Iterator[Finding]:
    """Files that do not hold what is read of them, and splits that are not read alike.

    Args:
        cfg: The config; without a model nothing is expected.
        splits: Split -> its data sets, built, without wrappers.
    """
    model = cfg.get("model")
    if not isinstance(model, Mapping) or "type" not in (model.get("backbone") or {}):
        return
    first: tuple[str, ChannelContract] | None = None
    for split, datasets in splits.items():
        for dataset in datasets:
            try:
                contract = _contract(cfg, split, dataset)
            except DataError as error:
                yield Finding("bands", "error", error)
                continue
            if contract is None:
                continue
            if first is None:
                first = split, contract
            yield from _compared(first, (split, contract))


def _contract(cfg: Config, split: Any, dataset: Any) -> ChannelContract | None:
    if len(dataset) == 0 or not hasattr(dataset, "get_data_info"):
        return None
    try:
        stated = read_contract(cfg, split)
    except ConfigError:
        return None  # loaded in a way whose bands cannot be told
    found = contract_of_dataset(dataset, stated)
    return None if found is None else stated.filled_by(found)


def _compared(
    first: tuple[str, ChannelContract], second: tuple[str, ChannelContract]
) -> Iterator[Finding]:
    for ours, theirs in differences(first[1], second[1]):
        error = ConfigError(
            f"{second[0]} reads {theirs}, but {first[0]} {ours}",
            where=f"{second[0]}_dataloader.dataset",
            fix="read the same bands in the same way in all splits",
        )
        yield Finding("bands", "error", error)


def _default_channels(backbone: Mapping) -> int | None:
    """What a backbone takes where its config does not say."""
    try:
        target = resolve(str(backbone.get("type")), MODELS)
        number = inspect.signature(target).parameters["in_channels"].default if target else None
    except (MmrsError, KeyError, TypeError, ValueError):
        return None
    return number if isinstance(number, int) else None
