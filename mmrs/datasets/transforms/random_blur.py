"""Gaussian blur of images of any number of bands and any type."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmrs.errors import ConfigError
from mmrs.registry import TRANSFORMS


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
        # mirrored at the edges: a border of 0 would darken them
        blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        results["img"] = blurred.reshape(image.shape)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sigma_px={self.sigma_px}, prob={self.prob})"
