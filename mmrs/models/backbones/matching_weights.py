"""Weights of another model, as far as names and shapes match, with a report of what did not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.error import URLError

import torch
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmrs.compat import safe_load_checkpoint
from mmrs.errors import CheckpointError
from mmrs.models.layers.first_conv import inflate_state_dict


@dataclass(frozen=True)
class MatchingWeights:
    """Which tensors came from the file; BatchNorm's batch counters are not counted.

    Attributes:
        loaded: In both, of the same shape.
        other_shape: In both, of another shape; random in the model.
        missing: In the model only; random there.
        unused: In the file only.
    """

    loaded: Sequence[str]
    other_shape: Sequence[str]
    missing: Sequence[str]
    unused: Sequence[str]


def load_matching_weights(
    module: nn.Module,
    checkpoint: str,
    *,
    prefix: str | None = None,
    map_location: str = "cpu",
) -> MatchingWeights:
    """Copy every tensor whose name and shape match into a module, and log what was copied.

    A first convolution learnt on another number of bands is inflated, and the log says so.

    Args:
        module: Receives the tensors.
        checkpoint: A file, or ``torchvision://``, ``open-mmlab://``, ``http(s)://`` as MMEngine
            reads them. Names may start with ``module.`` or ``backbone.``, as a whole
            segmentor's do.
        prefix: Take the tensors under this name only, such as ``encoder``; None: as above.
        map_location: Where the file's tensors go first.

    Returns:
        The names, by what became of them.

    Raises:
        CheckpointError: The weights cannot be had, or none of them matches.
    """
    source = _tensors_of(_read(checkpoint, map_location), checkpoint, prefix)
    for line in inflate_state_dict(source, module):
        print_log(f"{checkpoint}: {line}", logger="current")
    target = {k: v for k, v in module.state_dict().items() if not _is_counter(k)}
    both = [name for name in target if name in source]
    found = MatchingWeights(
        loaded=[name for name in both if source[name].shape == target[name].shape],
        other_shape=[name for name in both if source[name].shape != target[name].shape],
        missing=[name for name in target if name not in source],
        unused=[name for name in source if name not in target],
    )
    name = type(module).__name__
    if not found.loaded:
        raise CheckpointError(
            f"none of its {len(source)} tensors has the name and shape of one of {name}",
            where=checkpoint,
            fix="use weights of ResNet-50, or start from random ones: "
            "--cfg-options model.backbone.init_cfg=None",
        )
    with torch.no_grad():
        for key in found.loaded:
            target[key].copy_(source[key])
    _report(found, name, checkpoint)
    return found


def _read(checkpoint: str, map_location: str) -> Mapping:
    if "://" not in checkpoint:
        return safe_load_checkpoint(checkpoint, map_location)
    try:
        return CheckpointLoader.load_checkpoint(checkpoint, map_location, logger="current")
    except KeyError as error:
        raise CheckpointError(
            f"no weights are known by the name {error}",
            where=checkpoint,
            fix="check the name after ://",
        ) from error
    except (URLError, OSError) as error:
        folder = f"{torch.hub.get_dir()}/checkpoints"
        raise CheckpointError(
            f"the weights cannot be downloaded ({getattr(error, 'reason', error)})",
            where=checkpoint,
            fix=f"put the file into {folder} under the name that it has on its server, name a "
            "local file, or start from random weights: "
            "--cfg-options model.backbone.init_cfg=None",
        ) from error


def _tensors_of(content: Mapping, checkpoint: str, prefix: str | None) -> dict[str, Tensor]:
    """The file's tensors under the names that a backbone gives them."""
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    tensors = {str(k).removeprefix("module."): v for k, v in state.items() if torch.is_tensor(v)}
    if prefix is None and any(name.startswith("backbone.") for name in tensors):
        prefix = "backbone"
    if prefix is not None:
        start = prefix.rstrip(".") + "."
        tensors = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    tensors = {name: value for name, value in tensors.items() if not _is_counter(name)}
    if not tensors:
        under = "" if prefix is None else f" under {prefix!r}"
        raise CheckpointError(
            f"it holds no tensors{under}", where=checkpoint, fix="use a file of a state dict"
        )
    return tensors


def _report(found: MatchingWeights, name: str, checkpoint: str) -> None:
    random = [*found.other_shape, *found.missing]
    print_log(
        f"{name}: {len(found.loaded)} of {len(found.loaded) + len(random)} tensors are from "
        f"{checkpoint}; {len(random)} stay random ({len(found.other_shape)} have another shape "
        f"there, {len(found.missing)} are not there); {len(found.unused)} of the file are unused",
        logger="current",
    )
    for what, names in (("loaded", found.loaded), ("random", random), ("unused", found.unused)):
        for group in dict.fromkeys(key.partition(".")[0] for key in names):
            members = [key for key in names if key.partition(".")[0] == group]
            print_log(
                f"{name}, {what}, {group}: {', '.join(members)}",
                logger="current",
                level=logging.DEBUG,
            )


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")
