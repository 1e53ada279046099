"""Distance to the edges of the cells of a partition, and the weight that CEA makes of it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrs.ops.distance import manhattan_distance


def edge_distance(cells: Tensor) -> Tensor:
    """D(M) = d(M) + d(not M) of every cell M of a partition.

    Where the cells are disjoint, the distance to "not M" is the smallest distance to another
    cell, so one transform a cell gives both terms.

    Args:
        cells: (B, N, H, W) bool, disjoint; a pixel in no cell (ignored) is a source for none.

    Returns:
        (B, N, H, W) float32, in pixels; valid on the pixels of the cells; +inf where either
        side is empty.

    Source: Hi-ResNet (arXiv 2305.12691), eq. 7.
    """
    distance = manhattan_distance(cells)  # (B, N, H, W), 0 inside the cell
    # inside a cell the nearest cell is the own one, at 0; no other is nearer than the second
    second = _second_smallest(distance)
    return torch.maximum(distance, second[:, None], out=distance)


def edge_weight(mask: Tensor, valid: Tensor, *, cap_px: float, power: float) -> Tensor:
    """(D / cap)^power of binary masks, D capped.

    Args:
        mask: (B, N, H, W) bool, disjoint along N.
        valid: (B, H, W) bool; other pixels are neither mask nor background.
        cap_px: largest distance, in pixels; an empty or full mask has it everywhere.
        power: exponent, b in the paper.

    Returns:
        (B, N, H, W) float32 in [0, 1].
    """
    mask = mask & valid[:, None]
    # the maximum of bytes is a hundred times as fast as `any` along a strided axis
    rest = valid & ~mask.view(torch.uint8).amax(dim=1).view(torch.bool)
    distance = edge_distance(torch.cat([mask, rest[:, None]], dim=1))[:, :-1]
    return distance.clamp_(max=cap_px).mul_(1 / cap_px).pow_(power)


def _second_smallest(distance: Tensor) -> Tensor:
    """(B, N, H, W) -> (B, H, W), the second smallest along N; +inf where N = 1."""
    smallest = torch.full_like(distance[:, 0], torch.inf)
    second, larger = smallest.clone(), torch.empty_like(smallest)
    for value in distance.unbind(dim=1):
        torch.maximum(smallest, value, out=larger)
        torch.minimum(second, larger, out=second)
        torch.minimum(smallest, value, out=smallest)
    return second
