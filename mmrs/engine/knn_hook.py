"""What features are worth, told by the nearest neighbours of labelled pictures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmrs.engine.hook_option import check_hook_option
from mmrs.engine.labelled_set_hook import LabelledSetHook
from mmrs.ops.knn import leave_one_out_knn
from mmrs.registry import HOOKS


@HOOKS.register_module()
class KNNHook(LabelledSetHook):
    """Leave-one-out accuracy of weighted k-nearest-neighbours on frozen features: ``knn``.

    Nothing is trained, so it can be measured often; see `LabelledSetHook` for where it is logged.

    Args:
        k: Neighbours that vote, at least 1; few where classes have few pictures.
        temperature: Of their weights, > 0.
        **kwargs: `LabelledSetHook`: dataset, interval, at_start, batch_size, num_workers,
            confidence.

    Raises:
        ConfigError: A number is out of range.

    Source: Wu et al. 2018 (arXiv 1805.01978), section 3.4.
    """

    name = "knn"

    def __init__(self, *, k: int = 20, temperature: float = 0.07, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_hook_option("KNNHook", "k", k, k >= 1, ">= 1")
        check_hook_option("KNNHook", "temperature", temperature, temperature > 0, "> 0")
        self.k = k
        self.temperature = temperature

    def told(self, features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
        """See `leave_one_out_knn`."""
        return leave_one_out_knn(
            features, labels, num_classes=num_classes, k=self.k, temperature=self.temperature
        )
