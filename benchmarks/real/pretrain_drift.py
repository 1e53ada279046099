"""Why the top-1 of pre-training flatters: keys of the queue look older than the positive key.

``python -m benchmarks.real.pretrain_drift --data DIR`` takes the pre-trained weights of
``benchmarks.real.pretrain`` on at the peak rate for a few steps, and compares how often queries
find their keys among the queue, and among the same views encoded anew by the key encoder of that
moment.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.real.pretrain import RESULTS, once
from benchmarks.real.pretrain_data import ViewSampler, unlabelled_windows
from benchmarks.real.pretrain_moco import MoCoSettings, build_moco
from mmrs.ops.info_nce import contrast_logits, discrimination_accuracy, own_keys

NUM_STEPS, NUM_MEASURED = 48, 12


@torch.no_grad()
def found_among(
    model: nn.Module, views: Sequence[Tensor], ids: Tensor, keys: Tensor, key_ids: Tensor
) -> list[float]:
    """Top-1 and top-5 of queries among their keys and the given ones, in per cent."""
    groups = model._num_groups(len(views[0]))
    parts = {name: getattr(model, name) for name in ("backbone", "neck", "projector")}
    queries = model._encode(parts, views[0], groups)
    positive = model._encode_keys(views[1], groups)
    logits = contrast_logits(
        queries, positive, keys, temperature=model.temperature, mask=own_keys(ids, key_ids)
    )
    return [float(discrimination_accuracy(logits, top=top)) for top in (1, 5)]


def measure(
    settings: MoCoSettings, pixels: Sequence[np.ndarray], checkpoint: Path
) -> dict[str, Any]:
    """Accuracies among the queue as it is, and as the key encoder of the moment would fill it."""
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    model = build_moco(settings)
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    sampler = ViewSampler(
        pixels, crop_px=settings.crop_px, batch_size=settings.batch_size, seed=settings.seed
    )
    before: deque[tuple[Tensor, list[int]]] = deque(
        maxlen=settings.queue_len // settings.batch_size
    )
    among: dict[str, list[list[float]]] = {"queue": [], "anew": []}
    for step in range(NUM_STEPS):
        views, numbers = sampler.next_batch()
        ids = torch.tensor(numbers)
        if step >= NUM_STEPS - NUM_MEASURED:
            groups = model._num_groups(len(ids))
            with torch.no_grad():
                keys = torch.cat([model._encode_keys(view, groups) for view, _ in before])
            key_ids = torch.tensor([number for _, ids_then in before for number in ids_then])
            among["queue"].append(found_among(model, views, ids, model.queue, model.queue_ids))
            among["anew"].append(found_among(model, views, ids, keys, key_ids))
        loss = model.loss(views, [{"image_id": number} for number in numbers])["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        before.append((views[1], numbers))
    means = {name: np.mean(rows, axis=0).round(2).tolist() for name, rows in among.items()}
    return {
        "settings": asdict(settings),
        "num_queries": NUM_MEASURED * settings.batch_size,
        "top1_top5": means,
    }


def main() -> None:
    """Measure at the run's own momentum, and print it."""
    import logging

    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--key-momentum", type=float, default=MoCoSettings.key_momentum)
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("work_dirs/real_pretrain/moco-seed0.pth")
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    settings = replace(MoCoSettings(), key_momentum=args.key_momentum)
    pixels = unlabelled_windows(args.data)
    found = once(
        args.out / "pretrain" / f"drift-m{args.key_momentum:g}.json",
        asdict(settings),
        lambda: measure(settings, pixels, args.checkpoint),
    )
    print(found["top1_top5"])


if __name__ == "__main__":
    main()
