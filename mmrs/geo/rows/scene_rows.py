"""Finished rows of a scene, as they travel from the blended windows to the files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.blending import best_class
from mmrs.geo.palette import NODATA_LABEL

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """What is kept of the probabilities beside the class.

    Attributes:
        confidence: The largest probability.
        entropy: The Shannon entropy.
        probabilities: All of them.
    """

    confidence: bool = False
    entropy: bool = False
    probabilities: bool = False


@dataclass
class SceneRows:
    """Rows of a scene that no later window changes.

    Attributes:
        labels: (n, W) class indices, 255 where there is no prediction: no data, or scores that
            are not numbers.
        confidence: (n, W) largest probability, NaN where there is no prediction; or None.
        entropy: (n, W) Shannon entropy over the logarithm of the number of classes, so from 0
            (certain) to 1 (all classes equal); NaN likewise; or None.
        probabilities: (K, n, W), NaN likewise; or None.
    """

    labels: NDArray[np.uint8]
    confidence: Floats | None = None
    entropy: Floats | None = None
    probabilities: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def clear(self, invalid: NDArray[np.bool_]) -> None:
        """Take the prediction away where ``invalid`` says that there is no data.

        Args:
            invalid: (n, W), or what broadcasts to it.
        """
        if not invalid.any():
            return
        invalid = np.broadcast_to(invalid, self.labels.shape)
        self.labels[invalid] = NODATA_LABEL
        for scores in (self.confidence, self.entropy):
            if scores is not None:
                scores[invalid] = np.nan
        if self.probabilities is not None:
            self.probabilities[:, invalid] = np.nan

    def part(self, first: int, last: int) -> SceneRows:
        """Its rows from ``first`` up to ``last`` (excluded); views, not copies."""
        return self._map(lambda rows: rows[..., first:last, :])

    def take(self, row_of: NDArray[np.intp], col_of: NDArray[np.intp]) -> SceneRows:
        """The rows and columns of these indices, as on another grid; copies."""
        return self._map(lambda rows: np.ascontiguousarray(rows[..., row_of, :][..., col_of]))

    def _map(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> SceneRows:
        return SceneRows(
            change(self.labels),
            None if self.confidence is None else change(self.confidence),
            None if self.entropy is None else change(self.entropy),
            None if self.probabilities is None else change(self.probabilities),
        )


def decide_rows(scores: Floats, threshold: float | None, wanted: Wanted) -> SceneRows:
    """Turn blended probabilities into classes, and into what else is wanted of them.

    Args:
        scores: (K, n, W) probabilities; kept as they are where ``wanted.probabilities``.
        threshold: With two classes, the probability from which the second wins; None: the
            larger one wins, at equality the first.
        wanted: What is kept.
    """
    best = scores.max(axis=0)
    if threshold is None:
        labels = best_class(scores, best)
    else:
        labels = (scores[1] > threshold).astype(np.uint8)
    unknown = np.isnan(best)  # the largest of scores is NaN where one of them is
    if unknown.any():
        labels[unknown] = NODATA_LABEL
    return SceneRows(
        labels,
        confidence=best if wanted.confidence else None,
        entropy=relative_entropy(scores) if wanted.entropy else None,
        probabilities=scores if wanted.probabilities else None,
    )


def relative_entropy(scores: Floats) -> Floats:
    """Shannon entropy of probabilities (K, ...) over log K, from 0 to 1; 0 for one class."""
    entropy = np.zeros(scores.shape[1:], dtype=np.float32)
    if len(scores) == 1:
        return entropy
    for score in scores:
        # 0 log 0 is 0; the smallest normal number stands for what is below it
        entropy -= score * np.log(np.maximum(score, np.finfo(np.float32).tiny))
    entropy /= np.float32(np.log(len(scores)))
    return np.clip(entropy, 0, 1, out=entropy)
