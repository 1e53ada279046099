"""Normalisation of the views of a batch, of any number of bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmrs.errors import ConfigError, DataError
from mmrs.registry import MODELS


@MODELS.register_module()
class SelfSupDataPreProcessor(BaseDataPreprocessor):
    """MMPreTrain's ``SelfSupDataPreprocessor``, with a mean and a deviation for each of N bands.

    The stock one takes one or three. Batches come from MMEngine's ``default_collate``: a tensor
    (N, bands, H, W), or a list of them, one for each view.

    Args:
        mean: Of each band as the network sees them, in the units of the image; one number stands
            for all. None with ``std`` None: no normalisation.
        std: Deviation of each band, > 0.
        bgr_to_rgb: Reverse the bands first; of three bands only.
        non_blocking: Of the copy to the device.

    Raises:
        ConfigError: Mean and deviation do not go together, or bands are to be reversed that are
            not three.
        DataError: An image has another number of bands than the mean.
    """

    def __init__(
        self,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        bgr_to_rgb: bool = False,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        if (mean is None) != (std is None) or len(mean or ()) != len(std or ()):
            raise ConfigError(
                f"mean has {len(mean or ())} numbers, std {len(std or ())}",
                where="SelfSupDataPreProcessor.mean",
                fix="give both, a number for each band",
            )
        if any(not value > 0 for value in std or ()):
            raise ConfigError(
                f"must be > 0, got {std}",
                where="SelfSupDataPreProcessor.std",
                fix="tools/dataset_stats.py computes it",
            )
        if bgr_to_rgb and len(mean or ()) not in (0, 1, 3):
            raise ConfigError(
                f"{len(mean or ())} bands cannot be turned from BGR to RGB",
                where="SelfSupDataPreProcessor.bgr_to_rgb",
                fix="set bgr_to_rgb=False: rasters are read in the order of the file",
            )
        self.bgr_to_rgb = bgr_to_rgb
        # not in the state dict: the config says them
        values = None if mean is None else torch.tensor(mean).float().view(1, -1, 1, 1)
        self.register_buffer("mean", values, persistent=False)
        values = None if std is None else torch.tensor(std).float().view(1, -1, 1, 1)
        self.register_buffer("std", values, persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Move to the device and normalise; views stay a list."""
        data = self.cast_data(data)
        inputs = data["inputs"]
        if isinstance(inputs, Tensor):
            inputs = self._normalised(inputs)
        elif len(inputs) and all(isinstance(view, Tensor) and view.ndim == 4 for view in inputs):
            inputs = [self._normalised(view) for view in inputs]
        else:
            raise ConfigError(
                "views come one by one, not stacked",
                where="train_dataloader.collate_fn",
                fix="set collate_fn=dict(type='default_collate')",
            )
        return {"inputs": inputs, "data_samples": data.get("data_samples")}

    def _normalised(self, view: Tensor) -> Tensor:
        bands = view.shape[1]
        expected = self.mean.shape[1] if self.mean is not None else 1
        if self.bgr_to_rgb:
            expected = 3
        if expected > 1 and bands != expected:
            raise DataError(
                f"{bands} bands found, {expected} expected by SelfSupDataPreProcessor",
                fix="read as many bands as mean has, or give a mean and std for each band",
            )
        if self.bgr_to_rgb:
            view = view.flip(1)
        view = view.float()
        return view if self.mean is None else (view - self.mean) / self.std
