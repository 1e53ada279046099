"""What features are worth, told by a linear classifier on labelled pictures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmrs.engine.hook_option import check_hook_option
from mmrs.engine.labelled_set_hook import LabelledSetHook
from mmrs.ops.linear_probe import cross_validated_probe
from mmrs.registry import HOOKS


@HOOKS.register_module()
class LinearProbeHook(LabelledSetHook):
    """Cross-validated accuracy of logistic regression on frozen features: ``linear_probe``.

    Every picture is told once, by a classifier that was trained on the other folds. The folds
    depend on the seed alone, so measurements of one run can be compared with each other.

    Args:
        num_folds: At least 2.
        l2: Weight decay of the classifier, > 0: see `logistic_regression`.
        max_steps: Of L-BFGS.
        seed: Of the folds.
        **kwargs: `LabelledSetHook`: dataset, interval, at_start, batch_size, num_workers,
            confidence.

    Raises:
        ConfigError: A number is out of range.
    """

    name = "linear_probe"

    def __init__(
        self,
        *,
        num_folds: int = 5,
        l2: float = 1.0,
        max_steps: int = 200,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_hook_option("LinearProbeHook", "num_folds", num_folds, num_folds >= 2, ">= 2")
        check_hook_option("LinearProbeHook", "l2", l2, l2 > 0, "> 0")
        check_hook_option("LinearProbeHook", "max_steps", max_steps, max_steps >= 1, ">= 1")
        check_hook_option("LinearProbeHook", "seed", seed, seed >= 0, ">= 0")
        self.num_folds = num_folds
        self.l2 = l2
        self.max_steps = max_steps
        self.seed = seed

    def told(self, features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
        """See `cross_validated_probe`."""
        return cross_validated_probe(
            features,
            labels,
            num_classes=num_classes,
            num_folds=min(self.num_folds, len(labels)),
            l2=self.l2,
            max_steps=self.max_steps,
            seed=self.seed,
        )
