"""Rotation by quarter turns, which moves pixels and never blends them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmrs.errors import ConfigError
from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomRotate90(BaseTransform):
    """Rotate image and label by one of some quarter turns, each equally likely.

    Every pixel keeps its value, unlike in MMSegmentation's ``RandomRotate`` and ``RandomRotFlip``,
    which resample or rotate by small angles. A height and a width that differ change places.

    Args:
        angles: Degrees counterclockwise to draw from, multiples of 90; 0 leaves a sample as it
            is, so the default rotates three of four.

    Raises:
        ConfigError: An angle is no multiple of 90, or there is none.
    """

    def __init__(self, *, angles: Sequence[int] = (0, 90, 180, 270)) -> None:
        super().__init__()
        self.angles = tuple(angles)
        wrong = [angle for angle in self.angles if angle % 90]
        if wrong or not self.angles:
            raise ConfigError(
                f"{wrong[0]!r} is no multiple of 90" if wrong else "no angle",
                where="RandomRotate90.angles",
                fix="choose from 0, 90, 180, 270",
            )

    @cache_randomness
    def _draw(self) -> int:
        return int(np.random.choice(self.angles))

    def transform(self, results: dict) -> dict:
        """Rotate ``results['img']`` (H, W, ...) and every map of ``results['seg_fields']``."""
        angle = self._draw()
        for key in ("img", *results.get("seg_fields", ())):
            if results.get(key) is not None:
                results[key] = np.ascontiguousarray(np.rot90(results[key], angle // 90))
        results["img_shape"] = results["img"].shape[:2]
        if "pad_shape" in results:  # with or without the bands, as it was
            results["pad_shape"] = results["img"].shape[: len(results["pad_shape"])]
        results["rotation_deg"] = angle
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(angles={self.angles})"
