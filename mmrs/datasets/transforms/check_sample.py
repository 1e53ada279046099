"""The last look at a sample before it is packed."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmrs.errors import DataError
from mmrs.label_check import check_label_shape, check_labels
from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CheckSample(BaseTransform):
    """Raise where the label of a sample cannot belong to its image or to the classes.

    Put it right before ``PackSegInputs``; training and testing by mmrs' tools do that by
    themselves. It changes nothing and costs one pass over the label.

    Args:
        num_classes: Ids 0 .. num_classes - 1 are classes; None checks shapes only.
        ignore_index: The other id that is allowed.

    Raises:
        LabelError: The label is a colour picture, or holds an id that is no class.
        DataError: Image and label differ in size.
    """

    def __init__(self, *, num_classes: int | None = None, ignore_index: int = 255) -> None:
        super().__init__()
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"num_classes must be >= 1, got {num_classes}")
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Check ``results['gt_seg_map']`` (H, W), where there is one."""
        label = results.get("gt_seg_map")
        if label is None:
            return results
        where = results.get("seg_map_path")
        label = np.asarray(label)
        check_label_shape(label, where=where)
        # test pipelines resize the image and keep the label: either size is right
        sizes = [tuple(results["ori_shape"][:2])] if "ori_shape" in results else []
        if results.get("img") is not None:
            sizes.insert(0, results["img"].shape[:2])
        if sizes and label.shape not in sizes:
            raise DataError(
                f"label is {label.shape[0]} x {label.shape[1]} but its image "
                f"{results.get('img_path')} is {sizes[-1][0]} x {sizes[-1][1]} (rows x columns)",
                where=where,
                fix="give image and label the same size",
            )
        if self.num_classes is not None:
            check_labels(
                label,
                num_classes=self.num_classes,
                ignore_index=self.ignore_index,
                where=where,
                reduce_zero_label=results.get("reduce_zero_label"),
            )
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_classes={self.num_classes}, "
            f"ignore_index={self.ignore_index})"
        )
