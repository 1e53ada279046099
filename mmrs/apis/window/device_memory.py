"""A device whose memory is too small, told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mmrs.errors import EnvironmentError


@contextmanager
def tell_if_too_small(device: torch.device, what: str, fix: str) -> Iterator[None]:
    """Say what a device could not hold, and what takes less.

    Raises:
        EnvironmentError: Its memory did not suffice in this block.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise EnvironmentError(
            f"its memory cannot hold {what}", where=f"device {device}", fix=fix
        ) from error
