"""Whether embeddings fill their space or collapse to a point or a few directions."""

from __future__ import annotations

import math

import torch
from torch import Tensor


@torch.no_grad()
def embedding_spread(embeddings: Tensor) -> float:
    """Mean standard deviation of the dimensions of unit vectors, times sqrt(D).

    1 where they are spread evenly over the sphere, 0 where all are the same.

    Args:
        embeddings: (N, D) of unit length, N at least 2.

    Returns:
        The spread; nan where an embedding is not finite.

    Raises:
        ValueError: There are fewer than two.

    Source: SimSiam (arXiv 2011.10566), section 4.1.
    """
    _check(embeddings)
    deviation = embeddings.double().std(dim=0)  # (D,)
    return float(deviation.mean()) * math.sqrt(embeddings.shape[1])


@torch.no_grad()
def effective_rank(embeddings: Tensor) -> float:
    """How many directions the embeddings use: exp of the entropy of their singular values.

    Between 1 (all on one line through the origin) and min(N, D). As RankMe, nothing is subtracted
    first; with few embeddings it is less than with many.

    Args:
        embeddings: (N, D), N at least 2.

    Returns:
        The rank; nan where an embedding is not finite, 0 where all are 0.

    Raises:
        ValueError: There are fewer than two.

    Source: RankMe (arXiv 2210.02885), eqs. 1-2; Roy and Vetterli 2007.
    """
    _check(embeddings)
    if not embeddings.isfinite().all():
        return math.nan
    # where there are more embeddings than dimensions, the smaller of the two products is enough,
    # but squares its precision away: the small values are what collapse is about
    values = torch.linalg.svdvals(embeddings.double())
    if not values.sum() > 0:
        return 0.0
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


def _check(embeddings: Tensor) -> None:
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"embeddings must be (N >= 2, D), got {tuple(embeddings.shape)}")
