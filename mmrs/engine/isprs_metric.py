"""The ISPRS benchmarks' scores, with what makes them comparable printed beside them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmrs.engine.seg_metric import SegMetric, ignored_share
from mmrs.errors import ConfigError
from mmrs.registry import METRICS

_CLUTTER = "clutter"


@METRICS.register_module()
class ISPRSMetric(SegMetric):
    """`mmrs.SegMetric` as a preset for ISPRS Potsdam and Vaihingen.

    Numbers on these sets differ by protocol as much as by model. Three choices make one, and
    they are printed: which labels (full, or eroded: "noBoundary", where the pixels around class
    boundaries are ignored); whether clutter is in the means; whether overlapping tiles count
    twice or are stitched.

    Args:
        eroded: Whether the labels are the eroded ones; None says in the protocol that it was
            not stated. It changes no number: a warning tells where the labels look otherwise.
        clutter: Whether clutter is in the means. Overall accuracy and Kappa are over all
            counted pixels, clutter included, either way.
        exclude_from_mean: Further classes that are scored but not averaged.
        score_names: As in `mmrs.SegMetric`.
        **kwargs: see `mmrs.SegMetric`: stitch, ignore_index, confusion_matrix, output_dir, ...

    Raises:
        ConfigError: The data set has no class of the name clutter; or as `mmrs.SegMetric`.

    Source: https://www.isprs.org/education/benchmarks/UrbanSemLab/semantic-labeling.aspx
    """

    def __init__(
        self,
        *,
        eroded: bool | None = None,
        clutter: bool = False,
        exclude_from_mean: Sequence[str] = (),
        score_names: Sequence[str] = ("mIoU", "mF1", "OA"),
        **kwargs: Any,
    ) -> None:
        if clutter and _CLUTTER in exclude_from_mean:
            raise ConfigError(
                "clutter=True, but exclude_from_mean leaves it out",
                where="ISPRSMetric.exclude_from_mean",
                fix="set one of the two",
            )
        excluded = tuple(exclude_from_mean)
        if not clutter and _CLUTTER not in excluded:
            excluded = (*excluded, _CLUTTER)
        super().__init__(exclude_from_mean=excluded, score_names=score_names, **kwargs)
        self.eroded = eroded
        self.clutter = clutter

    def protocol(self, counted: int, ignored: int) -> str:
        """How the scores came about, in one line."""
        labels = {
            None: "labels not stated (eroded=True or False)",
            True: 'eroded labels ("noBoundary")',
            False: "full labels",
        }[self.eroded]
        clutter = "in the means" if self.clutter else "scored, not in the means, counted in OA"
        if is_main_process():
            self._compare(counted, ignored)
        return (
            f"ISPRS, {labels}; clutter {clutter}; {self.overlap_rule}; "
            f"{self.ignored_told(counted, ignored)}"
        )

    def _compare(self, counted: int, ignored: int) -> None:
        """Warn where the labels look other than they are said to be."""
        if self.eroded is True and counted and not ignored:
            told = "eroded=True is stated, but no pixel is ignored: these look like full labels"
        elif self.eroded is False and ignored > 0.01 * (counted + ignored) and not self.parts_only:
            told = (
                f"eroded=False is stated, but {ignored_share(counted, ignored)}: these look like "
                "eroded labels"
            )
        else:
            return
        print_log(told, logger="current", level=logging.WARNING)
