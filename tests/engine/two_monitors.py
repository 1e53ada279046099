"""Run by `test_two_monitors.py`, once a process: monitors a wrapped model, prints what it found.

python -m tests.engine.two_monitors FOLDER SET
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel

from mmrs.engine import EmbeddingSpreadHook, KNNHook
from tests.engine.tiny_pretraining import scenes
from tests.models.selfsup.tiny_moco import make_moco


def embeddings_of(step: int) -> torch.Tensor:
    """Of all processes: the halves of both differ from each other."""
    generator = torch.Generator().manual_seed(step)
    centre = torch.eye(2, 6).repeat_interleave(8, dim=0)
    return F.normalize(centre + 0.2 * torch.randn(16, 6, generator=generator), dim=1)


def monitored(model: Any, share: slice, scenes_folder: str) -> dict:
    """Spread of two steps, and k-NN accuracy, as the hooks put them into the hub."""
    algorithm = getattr(model, "module", model)
    written: list[dict] = []
    runner = SimpleNamespace(
        model=model,
        iter=0,
        message_hub=MessageHub.get_instance("monitors"),
        timestamp="t",
        visualizer=SimpleNamespace(add_scalars=lambda values, **_: written.append(values)),
    )
    spread = EmbeddingSpreadHook(interval=2, num_embeddings=32)
    for step in range(2):
        runner.iter = step
        algorithm.last_embeddings = embeddings_of(step)[share]
        spread.after_train_iter(runner, step)
    knn = KNNHook(dataset=scenes(Path(scenes_folder)), k=3)
    runner.iter = 0
    knn.before_train(runner)
    found = {key: hub.data[0].tolist() for key, hub in runner.message_hub.log_scalars.items()}
    return {"hub": found, "written": written}


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    rank, _ = get_dist_info()
    wrapped = MMDistributedDataParallel(make_moco(norm="BN"))
    found = monitored(wrapped, slice(8 * rank, 8 * rank + 8), sys.argv[2])
    Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
