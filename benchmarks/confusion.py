"""Confusion matrices beside their peers, and boundary counts beside them; one run, interleaved.

    OMP_NUM_THREADS=1 python benchmarks/confusion.py [--side 1024] [--classes 7] [--repeats 7]

Peers: MMSegmentation's ``intersect_and_union`` (which counts no pairs, only areas),
``torch.bincount``, ``numpy.bincount``. Prints medians of milliseconds a million pixels, and the
median over the rounds of each peer's time over ours; then what each says of more than 2**24 equal
pixels, where float32 stops counting. ``--cpu-time`` for machines that are busy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from mmseg.evaluation.metrics import IoUMetric

from mmrs.engine.boundary import boundary_counts
from mmrs.engine.confusion import confusion_matrix

IGNORED = 255


def make_pair(side: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and label of patches, a tenth of the label ignored."""
    rng = np.random.default_rng(0)
    patches = rng.integers(0, classes, (-(-side // 16), -(-side // 16)))
    label = np.kron(patches, np.ones((16, 16), int))[:side, :side].astype(np.uint8)
    prediction = np.roll(label, 2, axis=1)
    label[rng.random(label.shape) < 0.1] = IGNORED
    return prediction, label


def torch_bincount(prediction: torch.Tensor, label: torch.Tensor, classes: int) -> torch.Tensor:
    """The usual way to count pairs in torch."""
    valid = label != IGNORED
    pairs = label[valid].long() * classes + prediction[valid].long()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def numpy_bincount(prediction: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """The usual way to count pairs in NumPy."""
    valid = label != IGNORED
    pairs = label[valid].astype(np.int64) * classes + prediction[valid]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def measure(
    contestants: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of every round, interleaved; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            start = clock()
            run()
            if repeat:
                times[name].append(clock() - start)
    return times


def main() -> None:
    """Times, then exactness."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time, not wall time")
    args = parser.parse_args()
    cv2.setNumThreads(torch.get_num_threads())
    prediction, label = make_pair(args.side, args.classes)
    pair = torch.from_numpy(prediction), torch.from_numpy(label)
    # a segmentor's prediction is int64, and MMSegmentation brings the label to it
    wide = pair[0].long(), pair[1].long()
    kinds = {"num_classes": args.classes, "ignore_index": IGNORED}
    ours = "mmrs confusion_matrix, uint8"
    contestants: dict[str, Callable[[], object]] = {
        ours: lambda: confusion_matrix(prediction, label, **kinds),
        "mmrs confusion_matrix, int64 prediction": lambda: confusion_matrix(
            wide[0].numpy(), label, **kinds
        ),
        "numpy.bincount, uint8": lambda: numpy_bincount(prediction, label, args.classes),
        "torch.bincount, int64": lambda: torch_bincount(*wide, args.classes),
        "MMSeg intersect_and_union, int64": lambda: IoUMetric.intersect_and_union(
            *wide, args.classes, IGNORED
        ),
        "MMSeg intersect_and_union, uint8": lambda: IoUMetric.intersect_and_union(
            *pair, args.classes, IGNORED
        ),
        "mmrs boundary_counts, 3 px": lambda: boundary_counts(
            prediction, label, width_px=3, **kinds
        ),
    }
    expected = numpy_bincount(prediction, label, args.classes)
    assert (confusion_matrix(prediction, label, **kinds) == expected).all()
    assert (torch_bincount(*wide, args.classes).numpy() == expected).all()
    clock = time.process_time if args.cpu_time else time.perf_counter
    times = measure(contestants, args.repeats, clock)
    print(
        f"{torch.get_num_threads()} threads, {args.side} x {args.side} px, {args.classes} classes"
    )
    for name, values in times.items():
        milliseconds = 1e3 * statistics.median(values) / (args.side**2 / 1e6)
        ratio = statistics.median(v / o for v, o in zip(values, times[ours], strict=True))
        print(f"  {name:42s} {milliseconds:8.2f} ms/Mpx   {ratio:7.1f} x the first")
    ones = np.ones((4097, 4097), np.uint8)
    area = IoUMetric.intersect_and_union(torch.from_numpy(ones), torch.from_numpy(ones), 2, IGNORED)
    exact = confusion_matrix(ones, ones, num_classes=2)[1, 1]
    print(f"{ones.size} equal pixels: mmrs {exact}, MMSeg {int(area[0][1])}")


if __name__ == "__main__":
    main()
