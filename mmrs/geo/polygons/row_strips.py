"""Rows of a class map with what goes along with them, cut and joined into strips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rows(NamedTuple):
    """Rows of a class map.

    Attributes:
        labels: (n, W) uint8.
        confidence: (n, W), or None.
        pixel_m2: Area of a pixel of each row, (n,), or of each piece of it, (n, P), or None.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.floating] | None = None
    pixel_m2: NDArray[np.float64] | None = None


class RowStrips:
    """Takes rows in pieces of any height and gives them back in strips.

    Args:
        strip_rows: Rows of a strip.

    Attributes:
        rows: Rows that wait.

    Raises:
        ValueError: A strip has no rows.
    """

    def __init__(self, strip_rows: int) -> None:
        if strip_rows < 1:
            raise ValueError(f"strip_rows must be >= 1, got {strip_rows}")
        self.rows = 0
        self._strip_rows = strip_rows
        self._waiting: list[Rows] = []

    def push(self, rows: Rows) -> list[Rows]:
        """Take rows; the strips that are full."""
        full = []
        if len(rows.labels):
            self._waiting.append(rows)
            self.rows += len(rows.labels)
        while self.rows >= self._strip_rows:
            strip, rest = cut(stacked(self._waiting), self._strip_rows)
            full.append(strip)
            self.rows -= self._strip_rows
            self._waiting = [rest] if self.rows else []
        return full

    def finish(self) -> Rows | None:
        """The rows that are left, or None."""
        rest = stacked(self._waiting) if self._waiting else None
        self._waiting, self.rows = [], 0
        return rest


def stacked(pieces: list[Rows]) -> Rows:
    """Pieces one below the other, as copies; at least one."""
    labels, confidence, pixel_m2 = zip(*pieces, strict=True)
    return Rows(
        np.concatenate(labels),
        None if confidence[0] is None else np.concatenate(confidence),
        None if pixel_m2[0] is None else np.concatenate(pixel_m2),
    )


def cut(rows: Rows, count: int) -> tuple[Rows, Rows]:
    """The first rows, and the others; copies, so that neither holds the other in memory."""
    first, others = (
        Rows(
            rows.labels[part].copy(),
            None if rows.confidence is None else rows.confidence[part].copy(),
            None if rows.pixel_m2 is None else rows.pixel_m2[part].copy(),
        )
        for part in (slice(count), slice(count, None))
    )
    return first, others
