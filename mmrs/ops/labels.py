"""Label maps as losses need them: valid pixels, one-hot maps, the draw of a present class."""

from __future__ import annotations

import torch
from torch import Tensor


def check_logits_and_target(logits: Tensor, target: Tensor) -> None:
    """Raise where logits (B, K, H, W) and target (B, H, W) do not belong together.

    Raises:
        ValueError: a shape is wrong.
        TypeError: the target is not of an integer type.
    """
    if logits.ndim != 4 or target.ndim != 3:
        raise ValueError(
            "logits must be (B, K, H, W) and target (B, H, W), got "
            f"{tuple(logits.shape)} and {tuple(target.shape)}"
        )
    b, _, h, w = logits.shape
    if target.shape != (b, h, w):
        raise ValueError(
            f"target must be {(b, h, w)} for logits {tuple(logits.shape)}, "
            f"got {tuple(target.shape)}"
        )
    if target.dtype.is_floating_point or target.dtype == torch.bool:
        raise TypeError(f"target must hold integer class ids, got {target.dtype}")


def valid_pixels(target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Where a label counts.

    A label outside 0 .. num_classes - 1 that is not ``ignore_index`` is an error of the data set;
    it is caught when the file is read (`mmrs.CheckSample`), because a look at the values here
    would stall a GPU. It is treated as ignored.

    Args:
        target: (..., H, W) integer class ids.
        num_classes: K.
        ignore_index: label that never counts.

    Returns:
        (..., H, W) bool.
    """
    return (target >= 0) & (target < num_classes) & (target != ignore_index)


def mask_ignored(logits: Tensor, valid: Tensor) -> Tensor:
    """Logits at full precision, 0 where a pixel does not count: no inf or NaN leaks from there.

    Args:
        logits: (B, K, H, W), any float type.
        valid: (B, H, W) bool.

    Returns:
        (B, K, H, W) float32, or float64 where the logits are.
    """
    if logits.dtype != torch.float64:
        logits = logits.float()
    # the look at the values saves a pass over memory on the CPU, and would stall a GPU
    if valid.device.type == "cpu" and bool(valid.all()):
        return logits
    return logits.masked_fill(~valid[:, None], 0.0)


def class_presence(target: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Which classes occur.

    Args:
        target: (..., H, W) integer class ids.
        num_classes: K.
        ignore_index: label that never counts.

    Returns:
        (K,) bool, on the device of ``target``.
    """
    valid = valid_pixels(target, num_classes, ignore_index)
    # one spare bin takes what is ignored; scatter instead of bincount, which stalls a GPU
    bins = torch.where(valid, target, num_classes).flatten().long()
    present = torch.zeros(num_classes + 1, dtype=torch.bool, device=target.device)
    return present.index_fill(0, bins, True)[:num_classes]


def draw_present_class(
    target: Tensor, *, num_classes: int, ignore_index: int, seed: int, step: int | Tensor
) -> Tensor:
    """One class, uniformly among those present, decided by (seed, step) alone.

    Args:
        target: (..., H, W) integer class ids.
        num_classes: K.
        ignore_index: label that never counts.
        seed: of the run.
        step: number of the draw; an int, or a 0-d tensor on the target's device, so that
            nothing has to wait for a GPU.

    Returns:
        0-d int64 tensor on the device of ``target``; 0 where no pixel counts.
    """
    present = class_presence(target, num_classes, ignore_index)
    scores = hashed_uniform(num_classes, seed=seed, step=step, device=target.device)
    return torch.where(present, scores, -1.0).argmax()


def hashed_uniform(
    count: int, *, seed: int, step: int | Tensor, device: torch.device | str = "cpu"
) -> Tensor:
    """Numbers in [0, 1) from a counter, without a generator whose state a resume would lose.

    Args:
        count: how many.
        seed: of the run.
        step: number of the draw, an int or a 0-d integer tensor.
        device: where to make them.

    Returns:
        (count,) float32.

    Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014), with arithmetic shifts masked.
    """
    index = torch.arange(1, count + 1, dtype=torch.int64, device=device)
    offset = seed * 0x5851F42D4C95 % 2**62  # Python integers do not wrap, int64 does
    x = (index + step * 0x1003F + offset) * -0x61C8864680B583EB
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    x = x ^ ((x >> 31) & 0x1FFFFFFFF)
    return ((x >> 40) & 0xFFFFFF).float() / 2**24
