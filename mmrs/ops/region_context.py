"""Object-contextual attention: every pixel against one mean feature per class region."""

from __future__ import annotations

import math

from torch import Tensor


def gather_regions(features: Tensor, region_logits: Tensor) -> Tensor:
    """Mean feature of every soft region.

    Args:
        features: (B, C, H, W).
        region_logits: (B, K, H, W), one map per class; softmax runs over the *pixels*.

    Returns:
        (B, K, C) region features.

    Raises:
        ValueError: batch or map sizes differ.

    Source: Yuan et al., Object-Contextual Representations (arXiv 1909.11065), eq. 2.
    """
    b, _k, h, w = region_logits.shape
    if features.shape[0] != b or features.shape[-2:] != (h, w):
        raise ValueError(
            "features and region_logits must share batch, height and width, got "
            f"{tuple(features.shape)} and {tuple(region_logits.shape)}"
        )
    weights = region_logits.flatten(2).softmax(dim=-1)  # (B, K, HW)
    return weights @ features.flatten(2).transpose(1, 2)  # (B, K, C)


def attend_regions(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What every pixel takes from the regions.

    Args:
        query: (B, D, H, W) one query a pixel.
        key: (B, K, D) one key a region.
        value: (B, K, D) one value a region.

    Returns:
        (B, D, H, W), softmax over the K regions of the scaled products, applied to the values.

    Source: arXiv 1909.11065, eqs. 3 and 4.
    """
    b, d, h, w = query.shape
    logits = (query.flatten(2).transpose(1, 2) / math.sqrt(d)) @ key.transpose(1, 2)  # (B, HW, K)
    context = logits.softmax(dim=-1) @ value  # (B, HW, D)
    return context.transpose(1, 2).reshape(b, d, h, w)
