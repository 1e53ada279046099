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
    distance = manhattan_distance(cells).masked_fill_(cells, torch.inf)  # to the other cells
    return torch.where(cells, distance.amin(dim=1, keepdim=True), distance)


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
    rest = valid[:, None] & ~mask.any(dim=1, keepdim=True)
    distance = edge_distance(torch.cat([mask, rest], dim=1))[:, :-1]
    return distance.clamp_(max=cap_px).mul_(1 / cap_px).pow_(power)
