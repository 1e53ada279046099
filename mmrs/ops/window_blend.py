"""Overlapping windows mixed on any device: weighted sums over a band of rows that rolls down.

The tensor counterpart of ``mmrs.geo.blending.BandAccumulator``, fused and in place.  On a GPU the
classes are decided there, and only what is wanted of a finished row comes back, copied while the
next windows are computed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Values of a band that are decided at once: on a CPU 2 MB, which stay in its cache, elsewhere what
# bounds the memory for indices of 8 bytes.
_CHUNK_VALUES = {True: 1 << 19, False: 1 << 25}
NO_CLASS = 255  # the label where no score is largest

Floats = NDArray[np.float32]


class BlendedRows(NamedTuple):
    """Rows that no later window changes.

    Attributes:
        labels: (n, W) class indices, at most 254; 255 where a score is not a number.
        confidence: (n, W) largest probability, or None.
        entropy: (n, W) Shannon entropy over log K, from 0 to 1, or None.
        probabilities: (K, n, W), or None.
    """

    labels: NDArray[np.uint8]
    confidence: Floats | None
    entropy: Floats | None
    probabilities: Floats | None


class TensorBand:
    """Weighted sums of window scores over the rows that later windows can still change.

    Windows lie on a grid and come line by line, from the top down.  Before a window that starts at
    row r is added, ``pop_until(r)`` takes out the rows above r.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        row_starts: First row of each line of windows, ascending.
        col_starts: First column of each column of windows, ascending.
        row_profile: (h,) weight of each row of a window, > 0.
        col_profile: (w,) weight of each column of a window, > 0; a pixel's weight is their product.
        num_classes: Scores a pixel has, K, at most 255.
        device: Where the sums are kept, and the classes decided.
        threshold: With two classes, the probability from which the second wins; None: the largest
            wins, of equals the first.
        confidence: Hand out the largest probability.
        entropy: Hand out the entropy.
        probabilities: Hand out all probabilities.
        deferred: Hand out rows one call of ``pop_until`` later, when their copy has long arrived;
            the last call hands out all.  By default only where ``device`` is not the CPU.

    Raises:
        ValueError: If a number has no meaning.

    Memory: ``K * h * width * 4`` bytes on ``device``, whatever the scene's height: 7 classes,
    windows of 512 rows and 10,000 columns take 143 MB, 100,000 columns 1.4 GB.  On a CPU none
    before the first window is added.
    """

    def __init__(
        self,
        *,
        height: int,
        width: int,
        row_starts: Sequence[int],
        col_starts: Sequence[int],
        row_profile: Floats,
        col_profile: Floats,
        num_classes: int,
        device: torch.device | str = "cpu",
        threshold: float | None = None,
        confidence: bool = False,
        entropy: bool = False,
        probabilities: bool = False,
        deferred: bool | None = None,
    ) -> None:
        if not 1 <= num_classes <= NO_CLASS:
            raise ValueError(f"num_classes must be from 1 to {NO_CLASS}, got {num_classes}")
        if threshold is not None and num_classes != 2:
            raise ValueError(f"a threshold decides between 2 classes, got {num_classes}")
        self.height, self.width = height, width
        self.device = torch.device(device)
        self.top = 0
        self._threshold = threshold
        self._wants = (confidence, entropy, probabilities)
        self._deferred = self.device.type != "cpu" if deferred is None else deferred
        self._waiting: deque[_Copy] = deque()
        self._window = (len(row_profile), len(col_profile))
        weights = np.outer(row_profile, col_profile).astype(np.float32)
        row_sums = _profile_sums(height, row_starts, row_profile)
        col_sums = _profile_sums(width, col_starts, col_profile)
        self._weights = torch.from_numpy(weights).to(self.device)
        # windows on a grid with weights that are a product: so is the sum of the weights
        self._row_sums = torch.from_numpy(row_sums)[:, None].to(self.device)
        self._col_sums = torch.from_numpy(col_sums).to(self.device)
        self._ring = _zeros((num_classes, self._window[0], width), self.device)
        self._used = 0  # the first row that no window has reached: from there on all is zero

    @torch.no_grad()
    def add(self, row: int, col: int, scores: Tensor) -> None:
        """Add one window's scores.

        Args:
            row: First row of the window, which must be ``top``; call ``pop_until`` first otherwise.
            col: First column of the window.
            scores: (K, h, w), normally probabilities; read before the call returns (on a GPU: by
                work queued on the current stream).

        Raises:
            ValueError: If the window is out of order or the scores have another shape.
        """
        expected = (len(self._ring), *self._window)
        if tuple(scores.shape) != expected:
            raise ValueError(f"scores must be of shape {expected}, got {tuple(scores.shape)}")
        if row != self.top:
            raise ValueError(f"window starts at row {row}, but the band at {self.top}")
        scores = scores.to(self.device, torch.float32)
        capacity, width = self._window
        columns = slice(col, col + width)
        split = capacity - row % capacity
        # the ring's seam cuts the window in two
        for ring_rows, rows in (
            (slice(capacity - split, capacity), slice(0, split)),
            (slice(0, capacity - split), slice(split, capacity)),
        ):
            self._ring[:, ring_rows, columns].addcmul_(scores[:, rows], self._weights[rows])
        self._used = row + capacity

    @torch.no_grad()
    def pop_until(self, row: int) -> Iterator[BlendedRows]:
        """Take out the finished rows, from ``top`` up to ``row`` (excluded).

        Yields:
            Weighted means over the windows, and what they decide, from the top down and without a
            gap; zeros, so class 0, where no window was added.  ``top`` advances with them.

        Raises:
            ValueError: If ``row`` lies above ``top`` or beyond the scene.
        """
        if not self.top <= row <= self.height:
            raise ValueError(f"cannot pop rows {self.top} to {row} of {self.height}")
        earlier = len(self._waiting)
        while self.top < row:
            self._waiting.append(self._pop(row))
            if not self._deferred:
                yield self._waiting.popleft().arrived()
        if self._deferred:
            count = len(self._waiting) if row == self.height else earlier
            for _ in range(count):
                yield self._waiting.popleft().arrived()

    def _pop(self, row: int) -> _Copy:
        """Decide the rows up to ``row`` or to the ring's seam, and free their place."""
        capacity = self._window[0]
        first = self.top % capacity
        count = min(row - self.top, capacity - first)
        sums = self._ring[:, first : first + count]
        finished = _zero_rows(sums, self._wants)
        if self.top >= self._used:
            # most of a large mosaic may hold nothing: what was not written is not even looked at
            self.top += count
            return _Copy(finished)
        weights = self._row_sums[self.top : self.top + count]
        chunk = max(1, _CHUNK_VALUES[self.device.type == "cpu"] // (len(sums) * self.width))
        for start in range(0, count, chunk):
            part = slice(start, start + chunk)
            scores = sums[:, part].div_(weights[part]).div_(self._col_sums)
            self._decide(scores, part, finished)
            scores.zero_()
        self.top += count
        return _Copy(finished)

    def _decide(self, scores: Tensor, part: slice, out: _Decided) -> None:
        best = scores.amax(dim=0)
        if self._threshold is None:
            first_best(scores, best, out=out.labels[part])
        else:
            out.labels[part] = scores[1] > self._threshold
        unknown = best.isnan()  # the largest of scores is NaN where one of them is
        # a GPU that is asked whether there are any is waited for
        if best.device.type != "cpu" or bool(unknown.any()):
            out.labels[part].masked_fill_(unknown, NO_CLASS)
        if out.confidence is not None:
            out.confidence[part] = best
        if out.entropy is not None:
            out.entropy[part] = relative_entropy(scores)
        if out.probabilities is not None:
            out.probabilities[:, part] = scores


def first_best(scores: Tensor, best: Tensor, *, out: Tensor) -> None:
    """Index of the largest score, the first of equals: ``argmax`` over the classes.

    Args:
        scores: (K, H, W), K at most 256.
        best: (H, W), the largest of them.
        out: (H, W) uint8, written to.
    """
    if scores.device.type != "cpu":
        out.copy_(scores.argmax(dim=0))
        return
    # the classes whose running maximum is still below the best come before it; on a CPU these
    # comparisons run many values at a time, which argmax over the first axis does not
    running = scores[0].clone()
    below = torch.empty_like(running, dtype=torch.bool)
    out.zero_()
    for index in range(len(scores) - 1):
        if index:
            torch.maximum(running, scores[index], out=running)
        torch.lt(running, best, out=below)
        out += below.view(torch.uint8)


def relative_entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy of (K, ...) over log K, from 0 to 1; 0 for one class."""
    num_classes = len(probabilities)
    if num_classes == 1:
        return torch.zeros_like(probabilities[0])
    # 0 log 0 is 0; the smallest normal number stands for what is below it
    logs = probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log_()
    return logs.mul_(probabilities).sum(dim=0).div_(-math.log(num_classes)).clamp_(0, 1)


class _Decided(NamedTuple):
    """Like ``BlendedRows``, on any device."""

    labels: Tensor
    confidence: Tensor | None
    entropy: Tensor | None
    probabilities: Tensor | None


class _Copy:
    """Rows on their way to the host."""

    def __init__(self, rows: _Decided) -> None:
        device = rows.labels.device
        self._rows = _Decided(
            _to_host(rows.labels), *(None if t is None else _to_host(t) for t in rows[1:])
        )
        self._event: torch.cuda.Event | None = None
        if device.type == "cuda":
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(device))

    def arrived(self) -> BlendedRows:
        """Wait for them."""
        if self._event is not None:
            self._event.synchronize()
        labels, *others = self._rows
        return BlendedRows(labels.numpy(), *(None if t is None else t.numpy() for t in others))


def _to_host(rows: Tensor) -> Tensor:
    if rows.device.type != "cuda":
        return rows.cpu()
    # only into pinned memory does a copy run beside the computation; PyTorch keeps the block until
    # the copy is over, also where nobody holds it any more
    host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    return host.copy_(rows, non_blocking=True)


def _zeros(shape: tuple[int, ...], device: torch.device) -> Tensor:
    if device.type == "cpu":
        # takes no memory before it is written to, which PyTorch's own zeros do
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    return torch.zeros(shape, device=device)


def _zero_rows(sums: Tensor, wants: tuple[bool, bool, bool]) -> _Decided:
    confidence, entropy, probabilities = wants
    area = sums.shape[1:]
    return _Decided(
        torch.zeros(area, dtype=torch.uint8, device=sums.device),
        torch.zeros(area, device=sums.device) if confidence else None,
        torch.zeros(area, device=sums.device) if entropy else None,
        torch.zeros(sums.shape, device=sums.device) if probabilities else None,
    )


def _profile_sums(length: int, starts: Sequence[int], profile: Floats) -> Floats:
    sums = np.zeros(length, dtype=np.float32)
    for start in starts:
        sums[start : start + len(profile)] += profile
    return sums
