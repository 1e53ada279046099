"""Window attention: the eager and the fused path on the device at hand, forward + backward.

    python benchmarks/attention.py [--device cpu] [--repeats 7]

Prints one line a feature map of Hi-ResNet at a 512 x 512 crop: median milliseconds of both, and
their ratio over interleaved pairs.  `mmrs.ops.attention.attention_path` holds the choice.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from mmrs.ops.attention import attention_path, window_attention

MAPS = [(48, 128), (96, 64), (192, 32)]  # channels, side: branches at strides 4, 8, 16


def milliseconds(path: str, tensors: list[torch.Tensor], num_heads: int) -> float:
    """One forward and backward pass."""
    device = tensors[0].device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    out = window_attention(*tensors, num_heads=num_heads, window_size=8, path=path)
    torch.autograd.grad(out.sum(), tensors)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Measure every map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=2)
    args = parser.parse_args()
    device = torch.device(args.device)
    print(f"{device}, {torch.get_num_threads()} threads, default: {attention_path(device)}")
    for channels, side in MAPS:
        shape = (args.batch, channels, side, side)
        tensors = [torch.randn(shape, device=device, requires_grad=True) for _ in range(3)]
        times: dict[str, list[float]] = {"eager": [], "sdpa": []}
        for repeat in range(args.repeats + 1):
            for path, values in times.items():
                value = milliseconds(path, tensors, channels // 24)
                if repeat:  # the first pair warms up
                    values.append(value)
        ratio = statistics.median(s / e for e, s in zip(times["eager"], times["sdpa"], strict=True))
        medians = {path: statistics.median(values) for path, values in times.items()}
        print(
            f"C={channels:3d} {side:3d}x{side:<3d}  eager {medians['eager']:7.2f} ms  "
            f"sdpa {medians['sdpa']:7.2f} ms  sdpa / eager {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
