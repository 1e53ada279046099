"""Adaptive average pooling as two matrix products, for graphs whose size is not known."""

from __future__ import annotations

import torch
from torch import Tensor


def adaptive_mean(x: Tensor, rows: int, cols: int) -> Tensor:
    """The means of rows x cols cells that cover a map.

    Exporters write `torch.nn.functional.adaptive_avg_pool2d` only for maps whose size is known
    and a multiple of the cells; this is the same for any size, and stays dynamic.

    Args:
        x: (..., H, W).
        rows: Cells in a column, >= 1.
        cols: Cells in a row, >= 1.

    Returns:
        (..., rows, cols), equal to ``adaptive_avg_pool2d(x, (rows, cols))`` but for rounding.

    Raises:
        ValueError: a number of cells is below 1.
    """
    if rows < 1 or cols < 1:
        raise ValueError(f"rows and cols must be >= 1, got {rows} and {cols}")
    h, w = x.shape[-2:]
    return _weights(rows, h, x) @ x @ _weights(cols, w, x).transpose(0, 1)


def _weights(cells: int, length: int, like: Tensor) -> Tensor:
    """(cells, length): cell i is the mean of floor(i n / cells) .. ceil((i + 1) n / cells)."""
    cell = torch.arange(cells, device=like.device)[:, None]
    pixel = torch.arange(length, device=like.device)
    first = torch.div(cell * length, cells, rounding_mode="floor")
    end = torch.div((cell + 1) * length + cells - 1, cells, rounding_mode="floor")
    inside = (pixel >= first) & (pixel < end)
    return inside.to(like.dtype) / (end - first).to(like.dtype)
