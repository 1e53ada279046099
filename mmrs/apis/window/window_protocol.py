"""What scene prediction needs of a model, whatever runs it; imports no torch."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.errors import ConfigError

Size = tuple[int, int]  # (rows, columns), in pixels

DEFAULT_WINDOW_PX = 512


class WindowModel(Protocol):
    """What scene prediction needs of a model, whatever runs it.

    Attributes:
        classes: Names, in the order of the scores.
        palette: RGB of each class.
        contract: Which bands it takes, and how they are scaled.
        threshold: With two classes, the probability from which the second wins; None: the
            larger one wins.
        window: Size of a window that suits it, (rows, columns).
        stride: Step between windows that suits it, (rows, columns).
    """

    classes: Sequence[str]
    palette: Sequence[tuple[int, int, int]]
    contract: ChannelContract
    threshold: float | None
    window: Size
    stride: Size

    def __call__(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels in file order, (N, h, w, bands) -> probabilities (N, K, h, w)."""
        ...


def as_size(value: Any, name: str = "window") -> Size:
    """Pixels, or (rows, columns), as a pair.

    Raises:
        ConfigError: It is neither.
    """
    try:
        rows, cols = value if isinstance(value, Iterable) else (value, value)
        return operator.index(rows), operator.index(cols)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{name} must be whole pixels, or (rows, columns), got {value!r}"
        ) from error


def stride_of(window: Size, overlap: int) -> Size:
    """The step between windows that share ``overlap`` pixels.

    Raises:
        ConfigError: No windows can share so many.
    """
    rows, cols = window
    if not 0 <= overlap < min(window):
        raise ConfigError(
            f"overlap must be from 0 to below the window ({rows} x {cols}), got {overlap}"
        )
    return rows - overlap, cols - overlap


def half(window: Size) -> Size:
    """Half a window, which is the usual stride."""
    return max(1, window[0] // 2), max(1, window[1] // 2)
