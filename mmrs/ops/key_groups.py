"""In which groups a batch goes through the two encoders, so that normalisation gives nothing away.

MoCo (arXiv 1911.05722, sec. 3.3, "Shuffling BN"): where the query and its key are normalised with
statistics of one and the same set of images, these statistics tell the network which key is the
positive; it solves the task without learning anything.
"""

from __future__ import annotations

import torch
from torch import Tensor


def key_order(num_groups: int, group_size: int) -> Tensor:
    """The order in which images go to the key encoder, group after group.

    Queries are normalised in consecutive groups of ``group_size``. The keys' groups take their
    images from the queries' groups in turn. With ``group_size <= num_groups`` any two images are
    in one group at most once: the statistics of a key hold no image of its query's group but its
    own. Otherwise they hold ``ceil(group_size / num_groups)`` of them, the fewest possible.

    Which images are in a batch is random already, so the order need not be.

    Returns:
        (num_groups * group_size,) indices; position p of the keys' batch shows image order[p].

    Raises:
        ValueError: A number is below 1.
    """
    if num_groups < 1 or group_size < 1:
        raise ValueError(f"must be >= 1, got {num_groups} groups of {group_size}")
    return torch.arange(num_groups * group_size).view(num_groups, group_size).T.reshape(-1)


def separating_groups(batch_size: int) -> int:
    """The fewest equal groups of a batch that :func:`key_order` can keep apart.

    Returns:
        The smallest divisor of ``batch_size`` that is at least its square root.
    """
    return next(n for n in range(1, batch_size + 1) if batch_size % n == 0 and n * n >= batch_size)
