"""Which image each sample of a batch shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmrs.errors import ConfigError, DataError


def image_ids(data_samples: Sequence[Any] | None, device: torch.device) -> Tensor:
    """Numbers of images, as samples carry them.

    Args:
        data_samples: With ``image_id``, else ``sample_idx``, from 0 on.
        device: Where the numbers go.

    Returns:
        (N,) int64.

    Raises:
        ConfigError: A sample has neither.
        DataError: A number is below 0.
    """
    ids = []
    for sample in data_samples or ():
        found = sample.get("image_id", sample.get("sample_idx"))
        if found is None:
            break
        ids.append(int(found))
    if data_samples is None or not ids or len(ids) < len(data_samples):
        raise ConfigError(
            "samples do not say which image they show",
            where="train_pipeline",
            fix="let PackInputs keep it: meta_keys=('image_id', 'sample_idx', 'img_path')",
        )
    if min(ids) < 0:
        raise DataError(f"image_id must be >= 0, got {min(ids)}", fix="count images from 0")
    return torch.tensor(ids, device=device)
