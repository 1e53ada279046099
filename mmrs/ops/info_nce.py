"""InfoNCE over one positive and a queue of negatives, and the queue itself.

Shapes: N queries, K keys in the queue, D channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast_logits(
    queries: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    temperature: float = 0.2,
    mask: Tensor | None = None,
) -> Tensor:
    """Similarities of each query to its positive key and to all negative keys, over temperature.

    Computed in float32 at least, also under mixed precision: at a temperature of 0.2 the logits
    of half precision are coarse where the softmax is steep.

    Args:
        queries: (N, D), of unit length.
        positives: (N, D), of unit length; row n belongs to query n.
        negatives: (K, D), of unit length.
        temperature: Divides the similarities, > 0.
        mask: (N, K) bool, True where a key is no negative of a query; its logit is -inf.

    Returns:
        (N, 1 + K), the positive first.

    Raises:
        ValueError: The temperature is not above 0.

    Source: MoCo (arXiv 1911.05722), algorithm 1; temperature 0.2 of MoCo v2 (arXiv 2003.04297).
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    with torch.autocast(device_type=queries.device.type, enabled=False):
        queries, positives, negatives = (
            x if x.dtype == torch.float64 else x.float() for x in (queries, positives, negatives)
        )
        own = (queries * positives).sum(dim=1, keepdim=True)  # (N, 1)
        others = queries @ negatives.T  # (N, K)
        if mask is not None:
            others = others.masked_fill(mask, -torch.inf)
        return torch.cat((own, others), dim=1) / temperature


def info_nce(logits: Tensor) -> Tensor:
    """Mean over the queries of -log softmax(logits)[0].

    Args:
        logits: (N, 1 + K) of :func:`contrast_logits`.

    Source: Hi-ResNet (arXiv 2305.12691), eq. 10.
    """
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, target)


def discrimination_accuracy(logits: Tensor, *, top: int) -> Tensor:
    """Per cent of the queries whose positive is among the ``top`` most similar keys.

    A tie counts against the query: an encoder that maps everything to one point scores 0, and so
    does one whose similarities are no numbers.

    Args:
        logits: (N, 1 + K) of :func:`contrast_logits`.
        top: At least 1.
    """
    beaten_by = (~(logits[:, 1:] < logits[:, :1])).sum(dim=1)  # (N,)
    return (beaten_by < top).float().mean() * 100


def own_keys(ids: Tensor, queue_ids: Tensor) -> Tensor:
    """Keys in the queue that are earlier views of a query's own image: no negatives of it.

    Args:
        ids: (N,) integers, which image each query shows; from 0 on.
        queue_ids: (K,) the same for the keys; -1 where a place was never filled.

    Returns:
        (N, K) bool.
    """
    return ids[:, None] == queue_ids[None, :]


@torch.no_grad()
def enqueue(queue: Tensor, queue_ids: Tensor, pointer: int, keys: Tensor, ids: Tensor) -> int:
    """Write keys over the oldest of a queue, in place; past the end it goes on from the start.

    Args:
        queue: (K, D).
        queue_ids: (K,) integers.
        pointer: Where the oldest key is.
        keys: (B, D), oldest first; of more than K the last K stay, as in any queue.
        ids: (B,) integers.

    Returns:
        Where the oldest key is now.
    """
    length, count = len(queue), len(keys)
    places = (pointer + torch.arange(count, device=queue.device)) % length  # (B,)
    # no place twice, which would be in no defined order
    kept = slice(max(0, count - length), None)
    queue[places[kept]] = keys[kept].to(queue.dtype)
    queue_ids[places[kept]] = ids[kept].to(queue_ids.dtype)
    return (pointer + count) % length
