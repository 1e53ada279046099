"""Run by `test_moco_v2.py`, once a process: two steps on its half of each batch.

python -m tests.models.selfsup.two_processes FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.models.selfsup.tiny_moco import make_moco, make_views

# even images go to the first process, odd ones to the second
IDS = [[0, 2, 1, 3], [4, 6, 5, 7], [0, 4, 1, 5]]


def run(model: Any, batches: list[list[int]]) -> dict[str, Any]:
    """Losses, the last gradient, and the queue after it."""
    rank, world = (dist.get_rank(), 2) if dist.is_initialized() else (0, 1)
    bare = getattr(model, "module", model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for step, ids in enumerate(batches):
        views, samples = make_views(ids, seed=step)
        mine = slice(rank * len(ids) // world, (rank + 1) * len(ids) // world)
        found = model([view[mine] for view in views], samples[mine], mode="loss")
        optimiser.zero_grad()
        found["loss"].backward()
        optimiser.step()
        losses.append(found["loss"].detach())
    return {
        "loss": losses,
        "gradient": {n: p.grad for n, p in bare.named_parameters() if p.grad is not None},
        "queue": bare.queue,
        "queue_ids": bare.queue_ids,
        "key_groups": bare.encoder_k["backbone"].seen,
    }


if __name__ == "__main__":
    dist.init_process_group("gloo")
    result = run(DistributedDataParallel(make_moco(norm="BN")), IDS)
    torch.save(result, Path(sys.argv[1]) / f"{dist.get_rank()}.pt")
    dist.destroy_process_group()
