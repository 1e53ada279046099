"""The backbone that converted weights are for: built from a config, and compared by name."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mmrs.apis.channels.channel_config import read_contract
from mmrs.apis.channels.channel_contract import ChannelContract, differences
from mmrs.apis.config.build_errors import explain_build_error
from mmrs.apis.config.config_load import load_config
from mmrs.apis.config.config_types import config_name, resolve, unknown_type
from mmrs.apis.weights.checkpoint_fit import CheckpointFit, compare
from mmrs.compat import check_compiled_operators
from mmrs.errors import ConfigError
from mmrs.models.layers.first_conv import first_convs, inflate_state_dict

_PLACE = "model.backbone"


@dataclass(frozen=True)
class TargetBackbone:
    """A backbone with random weights.

    Attributes:
        module: It.
        type: As configs name it.
        config: File name of the config that it is from; None where only its type was named.
        reads: The channels that the config feeds it; None where they are not known.
    """

    module: nn.Module
    type: str
    config: str | None
    reads: ChannelContract | None = None

    @property
    def bands(self) -> int | None:
        """Bands that its first convolution reads; None where that one is depthwise."""
        convs = first_convs(self.module)
        return next(iter(convs.values())).in_channels if convs else None


@dataclass(frozen=True)
class FirstConv:
    """What became of the convolution that reads the image.

    Attributes:
        name: Of its weights.
        bands: Of the backbone.
        source_bands: Of the checkpoint.
        told: The rule in a line, where the two differ.
    """

    name: str
    bands: int
    source_bands: int
    told: str | None


@dataclass(frozen=True)
class Fitted:
    """The tensors that fit a backbone, and the names of those that do not.

    Attributes:
        tensors: Of the backbone's names and shapes.
        fit: All of them compared.
        left_out: Normalisation of the image itself, which has a number for each band and starts
            afresh where these are others.
        first_conv: None where the checkpoint does not hold it.
    """

    tensors: Mapping[str, Tensor]
    fit: CheckpointFit
    left_out: Sequence[str]
    first_conv: FirstConv | None


def build_target(
    config: str | Path | Config | None = None,
    *,
    type: str | None = None,
    bands: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> TargetBackbone:
    """Build the backbone of a config, or one by its type alone.

    Args:
        config: A config with ``model.backbone``; in place of ``type``.
        type: Registered name, such as ``mmrs.HiResNet``; its arguments are its defaults.
        bands: ``in_channels`` in place of the config's.
        cfg_options: Dotted key -> value, merged into the config; arguments of the backbone where
            only its type is named.

    Raises:
        ConfigError: There is no such config or backbone, or it cannot be built.
    """
    if (config is None) == (type is None):
        raise ConfigError(
            "one of the two says which backbone the weights are for",
            where="--backbone-config and --type",
            fix="name one of them",
        )
    if config is None:
        cfg = Config({"model": {"backbone": {"type": type}}})
        options = {f"{_PLACE}.{key}": value for key, value in (cfg_options or {}).items()}
        cfg = load_config(cfg, cfg_options=options)
    else:
        cfg = load_config(config, cfg_options=cfg_options)
    backbone = copy.deepcopy((cfg.get("model") or {}).get("backbone"))
    if not isinstance(backbone, Mapping) or "type" not in backbone:
        raise ConfigError("has no model.backbone", where=config_name(cfg), fix="name another")
    # nothing is loaded or downloaded for it
    backbone = {**backbone, "init_cfg": None}
    backbone.pop("pretrained", None)
    if bands is not None:
        backbone["in_channels"] = bands
    check_compiled_operators({"model": {"backbone": backbone}})
    init_default_scope(cfg.get("default_scope") or "mmseg")
    name, where = str(backbone["type"]), f"--type {type}"
    if resolve(name, MODELS) is None:
        where = where if config is None else f"{config_name(cfg)}: {_PLACE}.type"
        raise unknown_type(name, MODELS, where=where)
    try:
        module = MODELS.build(backbone)
    except Exception as error:
        told = explain_build_error(error, cfg, _PLACE)
        if config is None:
            fix = f"{told.fix}, by --cfg-options KEY=VALUE"
            told = ConfigError(told.what, where=where, fix=fix)
        raise told from error
    if config is None:
        return TargetBackbone(module, name, None)
    reads = None if bands is not None else _channels(cfg)
    return TargetBackbone(module, name, Path(config_name(cfg)).name, reads)


def _channels(cfg: Config) -> ChannelContract | None:
    if not cfg.get("train_dataloader"):
        return None
    try:
        return read_contract(cfg, "train")
    except ConfigError:  # read in a way whose bands are not known
        return None


def other_channels(
    target: TargetBackbone, trained: ChannelContract | None
) -> Sequence[tuple[str, str]]:
    """What differs between the channels of the checkpoint and those of the config: (then, now)."""
    if trained is None or target.reads is None:
        return []
    return differences(trained, target.reads)


def fit_to_target(
    tensors: Mapping[str, Tensor],
    target: TargetBackbone,
    *,
    source_bands: Sequence[int | None] | None = None,
) -> Fitted:
    """Compare tensors with a backbone's, the first convolution inflated to its bands.

    Args:
        tensors: By the backbone's names.
        target: The backbone.
        source_bands: As in :func:`~mmrs.ops.inflate.inflate_first_conv`.

    Raises:
        ConfigError: ``source_bands`` cannot be followed.
    """
    state = dict(tensors)
    first = next(iter(first_convs(target.module).items()), None)
    before = None if first is None else state.get(f"{first[0]}.weight")
    if before is not None and (before.ndim != 4 or before.shape[1] < 1):
        before = None  # the name alone is the same: it is of another architecture
    if source_bands is not None:
        _check_source_bands(source_bands, None if before is None else before.shape[1], target.bands)
    told = inflate_state_dict(state, target.module, source_bands=source_bands)
    ours = target.module.state_dict()
    fit = compare(ours, state)
    afresh = _band_norms(target.module)
    left_out = [name for name in fit.mismatched if told and name in afresh]
    if left_out:
        rest = {name: s for name, s in fit.mismatched.items() if name not in left_out}
        fit = replace(fit, mismatched=rest)
    # its batch counter starts with it
    norms = {name.rpartition(".")[0] for name in left_out}
    kept = {
        name: value
        for name, value in state.items()
        if name in ours and value.shape == ours[name].shape and name.rpartition(".")[0] not in norms
    }
    if first is None or before is None:
        return Fitted(kept, fit, left_out, None)
    name = f"{first[0]}.weight"
    line = next((line for line in told if line.startswith(f"{name}:")), None)
    conv = FirstConv(name, first[1].in_channels, before.shape[1], line)
    return Fitted(kept, fit, left_out, conv)


def _check_source_bands(
    source_bands: Sequence[int | None], known: int | None, bands: int | None
) -> None:
    named = [band for band in source_bands if band is not None]
    if known is None or known == bands:
        what = f"nothing is inflated: weights and backbone have {bands} bands"
        fix = "leave it out, or set --bands"
    elif len(source_bands) != bands:
        what = f"needs a number or none for each of {bands} bands, got {len(source_bands)}"
        fix = "name them all"
    elif any(not 0 <= band < known for band in named) or len({*named}) < len(named):
        what = f"must be different numbers from 0 to {known - 1}, or none, got {[*source_bands]}"
        fix = f"name a filter of the {known}-band weights once at most"
    else:
        return
    raise ConfigError(what, where="--source-bands", fix=fix)


def _band_norms(module: nn.Module) -> set[str]:
    """Names of the tensors that hold a number for each band, before the first convolution."""
    found: set[str] = set()
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d):
            return found
        if not any(part.children()):
            found |= {f"{name}.{key}" for key, v in part.state_dict().items() if v.ndim == 1}
    return found
