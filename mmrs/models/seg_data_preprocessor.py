"""Normalisation, padding and stacking for images of any number of bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import SegDataPreProcessor as MMSegDataPreProcessor

from mmrs.errors import ConfigError, DataError
from mmrs.registry import MODELS


@MODELS.register_module()
class SegDataPreProcessor(MMSegDataPreProcessor):
    """MMSegmentation's preprocessor, with a mean and a deviation for each of N bands.

    The stock class refuses a mean of other than one or three numbers. It also makes three bands of
    one where the mean has three (broadcasting), and passes over ``bgr_to_rgb`` in silence where an
    image has not three bands; here both are told.

    Args:
        mean: Of each band as the network sees them, in the units of the image; one number stands
            for all. None with ``std`` None: no normalisation.
        std: Deviation of each band, > 0.
        bgr_to_rgb: Reverse the bands first; of three bands only.
        rgb_to_bgr: The same, by its other name.
        **kwargs: `mmseg.models.SegDataPreProcessor`: size, size_divisor, pad_val, seg_pad_val,
            batch_augments, test_cfg.

    Raises:
        ConfigError: Mean and deviation do not go together, or bands are to be reversed that are
            not three.
        DataError: An image has another number of bands than the mean.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        *,
        bgr_to_rgb: bool = False,
        rgb_to_bgr: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(bgr_to_rgb=bgr_to_rgb, rgb_to_bgr=rgb_to_bgr, **kwargs)
        if (mean is None) != (std is None) or len(mean or ()) != len(std or ()):
            raise ConfigError(
                f"mean has {len(mean or ())} numbers, std {len(std or ())}",
                where="SegDataPreProcessor.mean",
                fix="give both, a number for each band",
            )
        numbers = [*(mean or ()), *(std or ())]
        if not all(math.isfinite(v) for v in numbers) or any(v <= 0 for v in std or ()):
            raise ConfigError(
                f"std must be > 0 and both finite, got mean={mean}, std={std}",
                where="SegDataPreProcessor.std",
                fix="tools/dataset_stats.py computes them",
            )
        if self._channel_conversion and len(mean or ()) not in (0, 1, 3):
            raise ConfigError(
                f"{len(mean or ())} bands cannot be turned from BGR to RGB",
                where="SegDataPreProcessor.bgr_to_rgb",
                fix="set bgr_to_rgb=False: rasters are read in the order of the file",
            )
        if mean:
            self._enable_normalize = True
            # as in the stock class, not in the state dict: the config says them
            self.register_buffer("mean", torch.tensor(mean).float().view(-1, 1, 1), False)
            self.register_buffer("std", torch.tensor(std).float().view(-1, 1, 1), False)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Normalise, pad and stack a batch of (bands, H, W).

        Raises:
            DataError: An image has not the bands that the mean, or the conversion, has.
        """
        inputs = data["inputs"]
        expected = len(self.mean) if self._enable_normalize and len(self.mean) > 1 else None
        if expected is None and self._channel_conversion:
            expected = 3
        for index, image in enumerate(inputs):
            if expected is not None and len(image) != expected:
                raise DataError(
                    f"{len(image)} bands found, {expected} expected by SegDataPreProcessor",
                    where=_path(data.get("data_samples"), index),
                    fix="read as many bands as mean has, or give a mean and std for each band",
                )
        if isinstance(inputs, list):
            # torch indexes 16-bit unsigned integers on few devices
            inputs = [image if image.is_floating_point() else image.float() for image in inputs]
        return super().forward({**data, "inputs": inputs}, training)


def _path(samples: Any, index: int) -> str | None:
    return getattr(samples[index], "img_path", None) if samples else None
