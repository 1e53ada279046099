"""The rotation that a data set has listed for a sample."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmrs.errors import DataError
from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RotateAsListed(BaseTransform):
    """Rotate image and labels by the sample's ``rotation_deg``, without chance.

    A data set that lists every image four times, such as `mmrs.PaddyDataset`, gives the rotation;
    a sample without one stays. Put it after ``LoadAnnotations``. For random quarter turns there
    is `mmrs.RandomRotate90`.

    Raises:
        DataError: the listed rotation is no multiple of 90 degrees.
    """

    def transform(self, results: dict) -> dict:
        """Rotate ``img`` (H, W, ...) and all of ``seg_fields`` counterclockwise."""
        angle = results.get("rotation_deg", 0)
        if angle % 90:
            raise DataError(
                f"rotation_deg must be a multiple of 90, got {angle}",
                where=results.get("img_path"),
                fix="list rotations of 0, 90, 180 and 270 degrees",
            )
        for key in ("img", *results.get("seg_fields", ())):
            if results.get(key) is not None:
                results[key] = np.ascontiguousarray(np.rot90(results[key], angle // 90))
        results["img_shape"] = results["img"].shape[:2]
        if "pad_shape" in results:  # with or without the bands, as it was
            results["pad_shape"] = results["img"].shape[: len(results["pad_shape"])]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
