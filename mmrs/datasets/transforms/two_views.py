"""Two augmented views of one image, for contrastive learning."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TwoViews(BaseTransform):
    """Run the same steps twice, each with draws of its own; ``img`` becomes a list of both.

    As MMPreTrain's ``MultiView`` with two views, which however knows neither another picture for
    the second view nor other steps for it within one list.

    Args:
        transforms: Steps of the first view, and of the second where ``second_transforms`` is None.
        second_transforms: Steps of the second.

    Where a sample has ``near_img`` (`mmrs.UnlabelledRasterDataset`), the second view is of that.
    """

    def __init__(
        self, *, transforms: Sequence[Any], second_transforms: Sequence[Any] | None = None
    ) -> None:
        super().__init__()
        self.first = Compose(list(transforms))
        self.second = self.first
        if second_transforms is not None:
            self.second = Compose(list(second_transforms))

    def transform(self, results: dict) -> dict:
        """Replace ``results['img']`` (H, W, bands) by two views; their sizes are in img_shape."""
        other = results.pop("near_img", None)
        second = copy.deepcopy(results)
        if other is not None:
            second["img"] = other
            second["img_shape"] = other.shape[:2]
        views = [self.first(results), self.second(second)]
        results = dict(views[0])
        results["img"] = [view["img"] for view in views]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(first={self.first}, second={self.second})"
