"""Which windows cover a raster: the fewest, in reading order, the last ones flush with the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, overload


class Window(NamedTuple):
    """A rectangle of pixels: upper left corner and size, in pixels."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns it covers, to index an (H, W) array with."""
        return (
            slice(self.row, self.row + self.height),
            slice(self.col, self.col + self.width),
        )


@dataclass(frozen=True)
class WindowPlan(Sequence[Window]):
    """A grid of equal windows in reading order (row by row), computed as it is asked for.

    Attributes:
        height: Rows of the raster.
        width: Columns of the raster.
        row_starts: First row of each line of windows, ascending.
        col_starts: First column of each column of windows, ascending.
        window_height: Rows of every window; the raster's, where that is less.
        window_width: Columns of every window, likewise.
    """

    height: int
    width: int
    row_starts: tuple[int, ...]
    col_starts: tuple[int, ...]
    window_height: int
    window_width: int

    def __len__(self) -> int:
        return len(self.row_starts) * len(self.col_starts)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"window index {index} of {len(self)}")
        line, column = divmod(index % len(self), len(self.col_starts))
        return Window(
            self.row_starts[line], self.col_starts[column], self.window_height, self.window_width
        )


def plan_starts(length: int, window: int, stride: int) -> tuple[int, ...]:
    """First pixels of the fewest windows that cover ``length`` with steps of at most ``stride``.

    Args:
        length: Pixels to cover, at least 1.
        window: Pixels of a window, at least 1.
        stride: Largest step from one window to the next, from 1 to ``window``.

    Returns:
        Ascending starts, the first 0; the last window ends at ``length`` (flush), so its step
        may be shorter.  (0,) where the window is as long as ``length`` or longer.

    Raises:
        ValueError: If a number is below 1, or ``stride`` exceeds ``window``: pixels between
            windows would get no prediction.
    """
    for name, value in (("length", length), ("window", window), ("stride", stride)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    if stride > window:
        raise ValueError(f"stride must be <= window ({window}), got {stride}")
    if length <= window:
        return (0,)
    last = length - window
    return (*range(0, last, stride), last)


def plan_windows(
    height: int, width: int, window: int | tuple[int, int], stride: int | tuple[int, int]
) -> WindowPlan:
    """The fewest windows that cover a raster with steps of at most ``stride``.

    Args:
        height: Rows of the raster.
        width: Columns of the raster.
        window: Window size in pixels, one number or (rows, columns).  Clipped to the raster.
        stride: Largest step in pixels, one number or (rows, columns).

    Returns:
        The plan, in reading order; all its windows have one size and lie inside the raster.

    Raises:
        ValueError: As ``plan_starts``.
    """
    window_height, window_width = _pair(window)
    row_stride, col_stride = _pair(stride)
    return WindowPlan(
        height=height,
        width=width,
        row_starts=plan_starts(height, window_height, row_stride),
        col_starts=plan_starts(width, window_width, col_stride),
        window_height=min(window_height, height),
        window_width=min(window_width, width),
    )


def max_overlap(starts: Sequence[int], window: int) -> int:
    """Largest number of pixels that two neighbouring windows share; 0 for a single window."""
    return max((max(0, first + window - second) for first, second in pairwise(starts)), default=0)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
