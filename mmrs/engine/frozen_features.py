"""Features of labelled pictures in the middle of a training run, which notices nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from mmrs.errors import ConfigError, DataError


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluate within; modes of all modules and all generators of random numbers are put back.

    In evaluation mode BatchNorm changes no buffer. Modes are put back one by one: a module may be
    in evaluation mode on purpose (frozen statistics).
    """
    modes = [(module, module.training) for module in model.modules()]
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    # nothing here draws on a device, but a module may
    device = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.random.set_rng_state(before[2])
        if device is not None:
            torch.cuda.set_rng_state(device)


def frozen_features(model: nn.Module, loader: Any) -> tuple[Tensor, Tensor]:
    """Features and classes of all samples of a loader.

    Args:
        model: An algorithm with ``data_preprocessor`` and ``extract_feat``, or its wrapper.
        loader: Batches as MMEngine's; each sample says its class as ``gt_label``.

    Returns:
        (N, D) float32 and (N,) int64, on the CPU.

    Raises:
        ConfigError: ``extract_feat`` gives no vectors, or samples have no class.
        DataError: Pictures of several sizes, or a feature is not finite.
    """
    if is_model_wrapper(model):
        model = model.module
    if not hasattr(model, "extract_feat"):
        raise ConfigError(
            f"{type(model).__name__} has no extract_feat, which gives the features to measure",
            where="custom_hooks",
            fix="take the hook out, or use an algorithm such as mmrs.MoCoV2",
        )
    found, labels = [], []
    with undisturbed(model):
        for batch in _batches(loader):
            batch = model.data_preprocessor(batch, False)
            features = model.extract_feat(batch["inputs"])
            if not isinstance(features, Tensor) or features.ndim != 2:
                what = tuple(features.shape) if isinstance(features, Tensor) else type(features)
                raise ConfigError(
                    f"extract_feat gives {what}, not a vector for each picture",
                    where="custom_hooks",
                    fix="pool the maps, as mmrs.MoCoV2 does with its neck",
                )
            found.append(features.float().cpu())
            labels += [_label(sample) for sample in batch["data_samples"]]
    features = torch.cat(found)
    return features, torch.tensor(labels)


def _batches(loader: Any) -> Iterator[Any]:
    try:
        yield from loader
    except RuntimeError as error:
        if "equal size" not in str(error):
            raise
        raise DataError(
            "pictures of several sizes cannot be put into one batch",
            where="custom_hooks: pipeline",
            fix="bring them to one, such as dict(type='Resize', scale=(224, 224))",
        ) from error


def _label(sample: Any) -> int:
    label = sample.get("gt_label")
    if label is None:
        raise ConfigError(
            "a sample has no gt_label",
            where="custom_hooks: dataset",
            fix="use mmrs.SceneFoldersDataset, and PackInputs at the end of its pipeline",
        )
    return int(label)
