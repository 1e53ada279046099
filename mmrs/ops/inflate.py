"""A first convolution learnt on some bands, for an image that has others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

InflateRule = Literal["mean", "cycle", "first"]


def inflate_first_conv(
    weight: Tensor,
    in_channels: int,
    rule: InflateRule = "mean",
    *,
    source_bands: Sequence[int | None] | None = None,
) -> Tensor:
    """Weights of S bands for N bands, so that the first activations keep their scale.

    A band that the weights know keeps its filter; a further band gets, by ``rule``, the mean of
    the known filters, their repetition, or the first one. All are multiplied by S / N: an image
    whose N bands are equal then gets the response that it had as S equal bands, exactly so under
    ``mean`` as long as the image's bands hold every known band once, or none of them.

    Args:
        weight: (K, S, kh, kw), learnt on S bands.
        in_channels: N, at least 1.
        rule: Filters of bands that are not known: ``mean`` of all S; ``cycle``, band i gets
            filter i mod S; ``first``, filter 0.
        source_bands: For each of the N bands the index of its filter, None where it is a further
            band. By default the first S bands are the known ones; with N < S none is, for nothing
            says which they are.

    Returns:
        (K, N, kh, kw), of the type and device of ``weight``; a copy.

    Raises:
        ValueError: A number or a rule is out of range, or two bands claim one filter.

    Source: the mean rule is Carreira and Zisserman's inflation (arXiv 1705.07750, sec. 2.4), over
        bands in place of time.
    """
    if weight.ndim < 2 or weight.shape[1] < 1:
        raise ValueError(f"weight must be (K, S, ...), got shape {tuple(weight.shape)}")
    if in_channels < 1:
        raise ValueError(f"in_channels must be >= 1, got {in_channels}")
    if rule not in get_args(InflateRule):
        raise ValueError(f"rule must be one of {', '.join(get_args(InflateRule))}, got {rule!r}")
    known = weight.shape[1]
    bands = _source_bands(known, in_channels, source_bands)
    filters = [
        _further(weight, band, rule) if source is None else weight[:, source]
        for band, source in enumerate(bands)
    ]
    return torch.stack(filters, dim=1) * (known / in_channels)  # (K, N, ...)


def _further(weight: Tensor, band: int, rule: InflateRule) -> Tensor:
    if rule == "mean":
        return weight.mean(dim=1)
    return weight[:, band % weight.shape[1] if rule == "cycle" else 0]


def _source_bands(
    known: int, in_channels: int, source_bands: Sequence[int | None] | None
) -> Sequence[int | None]:
    if source_bands is None:
        if in_channels < known:
            return [None] * in_channels
        return [band if band < known else None for band in range(in_channels)]
    if len(source_bands) != in_channels:
        raise ValueError(
            f"source_bands must name a filter, or None, for each of {in_channels} bands, "
            f"got {list(source_bands)}"
        )
    named = [band for band in source_bands if band is not None]
    if any(not 0 <= band < known for band in named) or len(set(named)) < len(named):
        raise ValueError(
            f"source_bands must be different numbers from 0 to {known - 1}, or None, "
            f"got {list(source_bands)}"
        )
    return source_bands
