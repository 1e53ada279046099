"""Weights before a pixel shuffle, so that the first upsampling is the nearest neighbour's."""

from __future__ import annotations

import torch
from torch import Tensor


def icnr_(weight: Tensor, upscale_factor: int) -> Tensor:
    """Give the r² filters of every output channel one value, in place.

    ``torch.nn.PixelShuffle`` makes channel c of channels c r² .. (c + 1) r² - 1; where their
    filters are equal, each cell of r x r pixels is flat, and no checkerboard has to be unlearnt.

    Args:
        weight: (K r², ...), already drawn; the first filter of each group is kept.
        upscale_factor: r.

    Returns:
        ``weight``.

    Raises:
        ValueError: r is below 1, or r² does not divide the filters.

    Source: Aitken et al., Checkerboard artifact free sub-pixel convolution (arXiv 1707.02937).
    """
    if upscale_factor < 1:
        raise ValueError(f"upscale_factor must be >= 1, got {upscale_factor}")
    cell = upscale_factor**2
    if weight.ndim == 0 or weight.shape[0] % cell:
        raise ValueError(
            f"the number of filters must be a multiple of upscale_factor² ({cell}), "
            f"got weight of shape {tuple(weight.shape)}"
        )
    with torch.no_grad():
        groups = weight.view(-1, cell, *weight.shape[1:])  # (K, r², ...)
        groups.copy_(groups[:, :1].clone().expand_as(groups))
    return weight
