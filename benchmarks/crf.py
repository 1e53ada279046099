"""The dense CRF: time and error beside pydensecrf and beside sums over all pairs of pixels.

    python benchmarks/crf.py [--device cpu] [--sides 96 256] [--repeats 5]

Images are made: coloured regions with noise of 10 and 20 grey values, three classes, noisy
unaries; the options are the defaults.  The peer is pydensecrf (or pydensecrf2, the same package
under another name), whose filters are compiled, where it is installed; it runs in one thread.
Prints the median milliseconds of both and their ratio over interleaved pairs; then what the
labels and probabilities differ by from exact sums in float64 (sides up to 96 px).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mmrs.ops.crf import dense_crf
from tests import oracles
from tests.ops.test_crf import DEFAULTS, make_scene

try:
    import pydensecrf.densecrf as peer
except ImportError:
    peer = None


def ours(num_rings: int, device: torch.device) -> Callable:
    """`dense_crf` of NumPy arrays (K, H, W) and (3, H, W)."""

    def run(probabilities: np.ndarray, image: np.ndarray) -> np.ndarray:
        tensors = [torch.from_numpy(a)[None].to(device) for a in (probabilities, image)]
        return dense_crf(*tensors, num_rings=num_rings)[0].cpu().numpy()

    return run


def compiled(probabilities: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The peer, at the same options."""
    k, h, w = probabilities.shape
    model = peer.DenseCRF2D(w, h, k)
    unary = -np.log(probabilities.clip(1e-5)).reshape(k, -1)
    model.setUnaryEnergy(np.ascontiguousarray(unary, dtype=np.float32))
    model.addPairwiseGaussian(sxy=3, compat=3)
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0), dtype=np.uint8)
    model.addPairwiseBilateral(sxy=80, srgb=13, rgbim=pixels, compat=10)
    return np.array(model.inference(10)).reshape(k, h, w)


def milliseconds(run: Callable, *arrays: np.ndarray) -> float:
    start = time.perf_counter()
    run(*arrays)
    return 1e3 * (time.perf_counter() - start)


def compare_times(side: int, noise: float, device: torch.device, repeats: int) -> None:
    probabilities, image, _ = make_scene(side, noise=noise)
    arrays = (probabilities[0].numpy(), image[0].round().numpy())
    runs = {"rings 0": ours(0, device), "rings 1": ours(1, device)}
    if peer is not None:
        runs["pydensecrf"] = compiled
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            value = milliseconds(run, *arrays)
            if repeat:  # the first round warms up
                times[name].append(value)
    line = "  ".join(f"{name} {statistics.median(t):8.1f} ms" for name, t in times.items())
    for name in ("rings 0", "rings 1") if peer is not None else ():
        pairs = zip(times[name], times["pydensecrf"], strict=True)
        line += f"  {name} / peer {statistics.median(a / b for a, b in pairs):.2f}"
    print(f"{side:4d} px  noise {noise:2.0f}  {line}", flush=True)


def compare_errors(side: int, noise: float, seed: int) -> None:
    probabilities, image, _ = make_scene(side, noise=noise, seed=seed)
    arrays = (probabilities[0].numpy(), image[0].round().numpy())
    exact = oracles.dense_crf(*arrays, **DEFAULTS)
    runs = {f"rings {n}": ours(n, torch.device("cpu")) for n in (0, 1)}
    if peer is not None:
        runs["pydensecrf"] = compiled
    for name, run in runs.items():
        result = run(*arrays)
        difference = np.abs(result - exact)
        labels = (result.argmax(0) != exact.argmax(0)).mean()
        print(
            f"{side:4d} px  noise {noise:2.0f}  seed {seed}  {name:10s}  largest difference "
            f"{difference.max():.3f}  99.9 % {np.quantile(difference, 0.999):.4f}  mean "
            f"{difference.mean():.5f}  labels differ {100 * labels:.3f} %",
            flush=True,
        )


def main() -> None:
    """Time every side, then measure the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 256])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--no-errors", action="store_true")
    args = parser.parse_args()
    device = torch.device(args.device)
    installed = "installed" if peer is not None else "not installed, no ratios"
    print(f"{device}, {torch.get_num_threads()} threads; peer: {installed}", flush=True)
    for side in args.sides:
        for noise in (10, 20):
            compare_times(side, noise, device, args.repeats)
    if not args.no_errors:
        for seed in range(args.seeds):
            for noise in (10, 20):
                compare_errors(min(min(args.sides), 96), noise, seed)


if __name__ == "__main__":
    main()
