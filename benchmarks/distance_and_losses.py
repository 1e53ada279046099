"""The distance transform and the losses beside their peers, one run, interleaved.

    python benchmarks/distance_and_losses.py [--repeats 5] [--batch 8] [--device cpu] [--cpu-time]

Peers: SciPy's Euclidean and taxicab transforms; cross-entropy; MMSeg's and, where it is
installed, MONAI's Hausdorff loss.  Label maps are wavy Voronoi regions.  Medians of milliseconds,
and the median of the ratios to the first row over the rounds.  On a machine that is busy with other
things ``OMP_NUM_THREADS=1`` and ``--cpu-time`` still give figures to rely on.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from mmseg.models.losses.huasdorff_distance_loss import HuasdorffDisstanceLoss
from scipy.ndimage import distance_transform_cdt, distance_transform_edt

from mmrs.models.losses import (
    ClassAgnosticEdgeAwareLoss,
    GeneralizedDiceLoss,
    JointLoss,
    LabelSmoothingCrossEntropyLoss,
)
from mmrs.ops.distance import manhattan_distance


def wavy_regions(batch: int, classes: int, side: int, seed: int = 0) -> torch.Tensor:
    """(B, H, W) label maps: Voronoi cells under a smooth displacement."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    out = np.empty((batch, side, side), np.int64)
    for i in range(batch):
        wave = 9 * np.sin(x / 23 + i), 9 * np.cos(y / 31 - i)
        points = generator.uniform(0, side, (40, 2)).astype(np.float32)
        labels = generator.integers(0, classes, 40)
        nearest = np.argmin(
            [(y + wave[0] - a) ** 2 + (x + wave[1] - b) ** 2 for a, b in points], axis=0
        )
        out[i] = labels[nearest]
    return torch.from_numpy(out)


def compare(
    title: str,
    contestants: dict[str, Callable[[], object]],
    *,
    repeats: int,
    sync: Callable[[], None],
    clock: Callable[[], float],
) -> None:
    """Print medians and ratios to the first contestant."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            sync()
            start = clock()
            run()
            sync()
            if repeat:
                times[name].append(1e3 * (clock() - start))
    reference = next(iter(times.values()))
    print(f"\n{title}")
    for name, values in times.items():
        ratio = statistics.median(v / r for v, r in zip(values, reference, strict=True))
        print(f"  {name:44s} {statistics.median(values):9.1f} ms   {ratio:7.2f} x the first")


def main() -> None:
    """Transforms, then losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--classes", type=int, default=7)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time, not wall time")
    args = parser.parse_args()
    device = torch.device(args.device)
    sync = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    clock = time.process_time if args.cpu_time else time.perf_counter
    measure = {"repeats": args.repeats, "sync": sync, "clock": clock}
    target = wavy_regions(args.batch, args.classes, args.side).to(device)
    masks = (F.one_hot(target, args.classes).permute(0, 3, 1, 2) > 0).contiguous()
    planes = masks.flatten(0, 1).cpu().numpy()
    print(f"{device}, {torch.get_num_threads()} threads, {len(planes)} planes of {args.side} px")

    exact = np.stack([distance_transform_cdt(~plane, "taxicab") for plane in planes])
    ours = manhattan_distance(masks).flatten(0, 1).cpu().numpy()
    defined = planes.any(axis=(1, 2))
    print("equal to SciPy's taxicab transform:", bool((ours == exact)[defined].all()))
    compare(
        "distance transform",
        {
            "SciPy distance_transform_edt (L2)": lambda: [
                distance_transform_edt(~p) for p in planes
            ],
            "SciPy distance_transform_cdt taxicab": lambda: [
                distance_transform_cdt(~p, "taxicab") for p in planes
            ],
            "mmrs manhattan_distance": lambda: manhattan_distance(masks),
        },
        **measure,
    )

    logits = torch.randn(masks.shape, device=device) + 3 * masks
    logits.requires_grad_()

    def step(loss: Callable[..., torch.Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(loss(logits, target), logits)

    losses = {
        "cross-entropy (torch)": step(F.cross_entropy),
        "mmrs label smoothing": step(LabelSmoothingCrossEntropyLoss()),
        "mmrs Generalised Dice": step(GeneralizedDiceLoss()),
        "mmrs CEA, one class": step(ClassAgnosticEdgeAwareLoss().to(device)),
        "mmrs CEA, all classes": step(ClassAgnosticEdgeAwareLoss(classes="all").to(device)),
        "mmrs joint (the paper's sum)": step(JointLoss().to(device)),
        "MMSeg HuasdorffDisstanceLoss": step(HuasdorffDisstanceLoss()),
    }
    if importlib.util.find_spec("monai"):
        from monai.losses import HausdorffDTLoss

        loss = HausdorffDTLoss(softmax=True, to_onehot_y=True, include_background=True)
        losses["MONAI HausdorffDTLoss"] = step(lambda z, t: loss(z, t[:, None]))
    else:
        print("MONAI is not installed: its loss is left out (pip install monai)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare("loss, forward + backward", losses, **measure)


if __name__ == "__main__":
    main()
