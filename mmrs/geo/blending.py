"""How overlapping windows are mixed: smooth weights, and a band of sums that rolls down the scene.

Scores are summed as probabilities, each window weighted by a smooth bump, so that a window's
border, where the model sees least, counts least.  The band holds only as many rows as a window
has: memory grows with the width of the scene, never with its height.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.windows import Window, WindowPlan

BlendKind = Literal["cosine", "gaussian", "flat"]

Floats = NDArray[np.float32]  # what scores and weights are kept in

_PIECE_VALUES = 1 << 20  # handed out at once: 4 MB, which stay in a processor's cache


def blend_profile(length: int, kind: BlendKind = "cosine") -> Floats:
    """Weight of each pixel across one side of a window.

    Args:
        length: Pixels of the side.
        kind: ``cosine`` (Hann, sampled at pixel centres), ``gaussian`` (sigma = length / 8, as
            nnU-Net's) or ``flat``.

    Returns:
        (length,), symmetric, positive everywhere, 1 at most: a pixel that one window alone
        covers keeps that window's prediction, however small the weight.

    Raises:
        ValueError: If ``length`` is below 1 or ``kind`` is unknown.
    """
    if length < 1:
        raise ValueError(f"length must be >= 1, got {length}")
    centres = (np.arange(length) + 0.5) / length
    if kind == "cosine":
        weights = np.sin(np.pi * centres) ** 2
    elif kind == "gaussian":
        weights = np.exp(-0.5 * ((centres - 0.5) * 8) ** 2)
    elif kind == "flat":
        weights = np.ones(length)
    else:
        raise ValueError(f"blend must be 'cosine', 'gaussian' or 'flat', got {kind!r}")
    return weights.astype(np.float32)


def blend_weights(height: int, width: int, kind: BlendKind = "cosine") -> Floats:
    """Weight of each pixel of a window, (height, width): the product of two profiles."""
    return np.outer(blend_profile(height, kind), blend_profile(width, kind)).astype(np.float32)


class BandAccumulator:
    """Weighted sums of window scores over the rows that later windows can still change.

    Feed windows in the plan's order.  Before a window that starts at row r is added, the rows
    above r are final: ``pop_until(r)`` hands them out and frees their place.

    Args:
        plan: The windows to come.
        num_classes: Scores a pixel has.
        kind: The blend, see ``blend_profile``.

    Memory: ``num_classes * window_height * width * 4`` bytes, whatever the scene's height, none of
    it before the first window; and the weighted scores of one window.
    """

    def __init__(self, plan: WindowPlan, num_classes: int, kind: BlendKind = "cosine"):
        if num_classes < 1:
            raise ValueError(f"num_classes must be >= 1, got {num_classes}")
        self.plan = plan
        self.top = 0
        self._capacity = plan.window_height
        self._ring = np.zeros((num_classes, self._capacity, plan.width), dtype=np.float32)
        self._used = 0  # the first row that no window has reached: from there on all is zero
        row_profile = blend_profile(plan.window_height, kind)
        col_profile = blend_profile(plan.window_width, kind)
        self._weights = np.outer(row_profile, col_profile).astype(np.float32)
        # fresh memory for each window would cost more than the sums
        self._weighted = np.empty((num_classes, *self._weights.shape), dtype=np.float32)
        # the plan is a grid and the weights a product, so their sum over windows is one too
        self._row_sums = _profile_sums(plan.height, plan.row_starts, row_profile)
        self._col_sums = _profile_sums(plan.width, plan.col_starts, col_profile)

    def add(self, window: Window, scores: Floats) -> None:
        """Add one window's scores.

        Args:
            window: A window of the plan that starts at ``top``; call ``pop_until`` first otherwise.
            scores: (K, h, w) of that window, normally probabilities.

        Raises:
            ValueError: If the window is out of order or the scores have another shape.
        """
        expected = (self._ring.shape[0], self._capacity, self.plan.window_width)
        if scores.shape != expected:
            raise ValueError(f"scores must be of shape {expected}, got {scores.shape}")
        if window.row != self.top:
            raise ValueError(f"window starts at row {window.row}, but the band at {self.top}")
        columns = slice(window.col, window.col + window.width)
        weighted = np.multiply(scores, self._weights, out=self._weighted)
        split = self._capacity - self.top % self._capacity
        # the ring's seam cuts the window in two
        self._ring[:, self._capacity - split :, columns] += weighted[:, :split]
        self._ring[:, : self._capacity - split, columns] += weighted[:, split:]
        self._used = window.row + self._capacity

    def pop_until(self, row: int) -> Iterator[Floats]:
        """Take out the finished rows, from ``top`` up to ``row`` (excluded).

        Yields:
            (K, n, W) blended scores: weighted means over the windows, so probabilities in give
            probabilities out; zeros where no window was added.  ``top`` advances with them.  Each
            piece is an array of its own, of a few MB.

        Raises:
            ValueError: If ``row`` lies above ``top`` or beyond the scene.
        """
        if not self.top <= row <= self.plan.height:
            raise ValueError(f"cannot pop rows {self.top} to {row} of {self.plan.height}")
        piece = max(1, _PIECE_VALUES // (len(self._ring) * self.plan.width))
        while self.top < row:
            yield self._pop(min(row, self.top + piece))

    def _pop(self, until: int) -> Floats:
        """The rows up to ``until``, or to the ring's seam."""
        first = self.top % self._capacity
        count = min(until - self.top, self._capacity - first)
        sums = self._ring[:, first : first + count]
        if self.top >= self._used:
            # most of a large mosaic may hold nothing: what was not written is not even looked at
            self.top += count
            return np.zeros(sums.shape, dtype=np.float32)
        scores: Floats = sums / self._row_sums[self.top : self.top + count, None]
        scores /= self._col_sums
        sums[...] = 0
        self.top += count
        return scores


def best_class(scores: Floats, best: Floats | None = None) -> NDArray[np.uint8]:
    """Index of the largest score, the first of equals: (K, H, W) -> (H, W), K at most 256.

    Where a score is not a number the result means nothing.

    Args:
        scores: As above.
        best: (H, W), the largest of them, where it is known.
    """
    # the classes whose running maximum is still below the best come before it; such comparisons
    # run many values at a time, which argmax over the leading axis does not
    running = scores[0].copy()
    best = scores.max(axis=0) if best is None else best
    below = np.empty(best.shape, dtype=np.bool_)
    labels = np.zeros(best.shape, dtype=np.uint8)
    for score in scores[1:]:
        np.less(running, best, out=below)
        labels += below.view(np.uint8)
        np.maximum(running, score, out=running)
    return labels


def _profile_sums(length: int, starts: tuple[int, ...], profile: Floats) -> Floats:
    sums = np.zeros(length, dtype=np.float32)
    for start in starts:
        sums[start : start + len(profile)] += profile
    return sums
