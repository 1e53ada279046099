"""IFWM's two costs: flow_warp beside bilinear interpolation, its wide convolutions beside conv2d.

    python benchmarks/flow_warp.py [--device cpu] [--repeats 7] [--batch 2] [--threads 1]

One run, interleaved; medians of milliseconds, and the median over the rounds of the ratio to the
first column in the same memory format.

Warp: one line a map of HRNet at a 512 x 512 crop, forward + backward with the gradients of map and
flow, beside interpolation to the same size.  "still" is a zero flow, as at the start of training;
"smooth" moves by two pixels or so and varies over eight; "noise" is the worst case, two pixels at
random.  Goal: at most 1.8 x interpolation.  Tried on the CPU and left out: reading rows of
channels by embedding_bag, which in channels_last takes 0.4 to 0.9 of grid_sample's time at 48
channels and more, and 2 to 4 times as long at 18 and fewer.

Convolution: to the two channels of a flow, as `mmrs.ops.narrow_conv` does it, beside conv2d.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmrs.ops.narrow_conv import narrow_conv2d
from mmrs.ops.warp import flow_warp

MAPS = [(18, 128), (48, 128), (96, 64), (192, 32)]  # channels, side
CONVOLUTIONS = [(18, 15, 128), (18, 7, 128), (48, 15, 128), (96, 7, 64)]  # channels, kernel, side
FORMATS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


def flows(batch: int, side: int, device: torch.device) -> dict[str, Tensor]:
    """(B, 2, side, side) each, in pixels."""
    coarse = 2 * torch.randn(batch, 2, max(side // 8, 1), side // 8, device=device)
    return {
        "still": torch.zeros(batch, 2, side, side, device=device),
        "smooth": F.interpolate(coarse, size=(side, side), mode="bilinear"),
        "noise": 2 * torch.randn(batch, 2, side, side, device=device),
    }


def warps(
    batch: int, channels: int, side: int, device: torch.device, memory_format: torch.memory_format
) -> dict[str, Callable[[], object]]:
    """Interpolation first, then the warps; each runs forward and backward."""

    def noise(size: int) -> Tensor:
        x = torch.randn(batch, channels, size, size, device=device)
        return x.contiguous(memory_format=memory_format)

    small, large, grad = (
        noise(side // 2).requires_grad_(),
        noise(side).requires_grad_(),
        noise(side),
    )

    def interpolate() -> object:
        out = F.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)
        return torch.autograd.grad(out, small, grad)

    def warp(flow: Tensor) -> Callable[[], object]:
        flow = flow.contiguous(memory_format=memory_format).requires_grad_()
        return lambda: torch.autograd.grad(flow_warp(large, flow), (large, flow), grad)

    runs = {name: warp(flow) for name, flow in flows(batch, side, device).items()}
    return {"interpolate": interpolate, **runs}


def convolutions(
    batch: int,
    channels: int,
    kernel: int,
    side: int,
    device: torch.device,
    memory_format: torch.memory_format,
) -> dict[str, Callable[[], object]]:
    """conv2d first, then ours; each runs forward and backward."""
    x = torch.randn(batch, channels, side, side, device=device)
    weight = torch.randn(2, channels, kernel, kernel, device=device)
    x, weight = (y.contiguous(memory_format=memory_format).requires_grad_() for y in (x, weight))
    grad = torch.randn(batch, 2, side, side, device=device)

    def run(convolve: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(convolve(x, weight), (x, weight), grad)

    return {
        "conv2d": run(lambda x, weight: F.conv2d(x, weight, padding=kernel // 2)),
        "narrow_conv2d": run(narrow_conv2d),
    }


def measure(
    runs: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Milliseconds of every contestant in every round but the first.

    On the CPU it is CPU time, which a neighbour on the machine disturbs less.
    """
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            if on_gpu:
                torch.cuda.synchronize(device)
            start = clock()
            run()
            if on_gpu:
                torch.cuda.synchronize(device)
            if repeat:
                times[name].append(1e3 * (clock() - start))
    return times


def report(title: str, times: dict[str, list[float]]) -> None:
    """One line: the first contestant, then the others with their ratios to it."""
    (first, base), *others = times.items()
    line = f"{title}  {first} {statistics.median(base):7.2f} ms"
    for name, values in others:
        ratio = statistics.median(v / b for v, b in zip(values, base, strict=True))
        line += f"  {name} {statistics.median(values):7.2f} ms {ratio:5.2f}x"
    print(line, flush=True)


def main() -> None:
    """Measure every map in both memory formats."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)
    print(f"{device}, {args.threads} threads, torch {torch.__version__}, batch {args.batch}")
    for channels, side in MAPS:
        for label, memory_format in FORMATS.items():
            runs = warps(args.batch, channels, side, device, memory_format)
            title = f"warp C={channels:3d} {side:3d}x{side:<3d} {label:13s}"
            report(title, measure(runs, args.repeats, device))
    for channels, kernel, side in CONVOLUTIONS:
        for label, memory_format in FORMATS.items():
            runs = convolutions(args.batch, channels, kernel, side, device, memory_format)
            title = f"{kernel:2d} x {kernel:<2d} C={channels:3d} {side:3d}x{side:<3d} {label:13s}"
            report(title, measure(runs, args.repeats, device))


if __name__ == "__main__":
    main()
