"""Gaussian blur of images of any number of bands and any type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from numpy.typing import NDArray

from mmrs.errors import ConfigError
from mmrs.registry import TRANSFORMS

_TYPES = ("uint8", "uint16", "int16", "float32", "float64")  # that OpenCV blurs
_MOST = 128  # bands that it takes at once, from version 5 on


@TRANSFORMS.register_module()
class RandomBlur(BaseTransform):
    """Blur by a Gaussian of random width, each band by itself.

    MMPreTrain's ``GaussianBlur`` goes by Pillow, which takes three bands of 8 bits.

    Args:
        sigma_px: Range of the deviation, pixels, > 0; of MoCo v2 by default.
        prob: Of blurring at all.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(self, *, sigma_px: Sequence[float] = (0.1, 2.0), prob: float = 0.5) -> None:
        super().__init__()
        if len(sigma_px) != 2 or not 0 < sigma_px[0] <= sigma_px[1]:
            raise ConfigError(
                f"must be (low, high), 0 < low <= high, got {sigma_px!r}",
                where="RandomBlur.sigma_px",
                fix="mend it",
            )
        if not 0 <= prob <= 1:
            raise ConfigError(
                f"must be 0 to 1, got {prob!r}", where="RandomBlur.prob", fix="mend it"
            )
        self.sigma_px = tuple(sigma_px)
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Blur ``results['img']`` (H, W) or (H, W, bands); its type and shape stay."""
        if np.random.random() >= self.prob:
            return results
        sigma = float(np.random.uniform(*self.sigma_px))
        image = results["img"]
        stacked = image[..., None] if image.ndim == 2 else image
        parts = [
            _blurred(stacked[..., first : first + _MOST], sigma)
            for first in range(0, stacked.shape[-1], _MOST)
        ]
        blurred = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        results["img"] = blurred.reshape(image.shape)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sigma_px={self.sigma_px}, prob={self.prob})"


def _blurred(image: NDArray[Any], sigma: float) -> NDArray[Any]:
    """(H, W, bands) of any type but complex, rounded where that is whole numbers."""
    values = image if image.dtype.name in _TYPES else image.astype(np.float64)
    # mirrored at the edges: a border of 0 would darken them
    found = cv2.GaussianBlur(
        np.ascontiguousarray(values), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101
    ).reshape(image.shape)
    if found.dtype == image.dtype:
        return found
    whole = np.issubdtype(image.dtype, np.integer)
    return (np.rint(found) if whole else found).astype(image.dtype)
