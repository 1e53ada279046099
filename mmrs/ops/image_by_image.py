"""A sum over a batch whose value and gradient are computed one image at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmrs.ops.threads import map_in_threads

BatchSum = Callable[..., Tensor]


def sum_image_by_image(function: BatchSum, logits: Tensor, *maps: Tensor) -> Tensor:
    """``function(logits, *maps)``, where it is a sum over the images of a batch.

    On the CPU every image is computed forward and backward at once, on a thread of its own: what
    lies between is small, stays in the cache and leaves no fresh memory to be touched.  On other
    devices the function is called as it is.

    Args:
        function: (B, K, H, W) logits and maps -> 0-d sum over the images; pure.
        logits: (B, K, H, W); takes the gradient.
        *maps: (B, ...); take none.

    Returns:
        0-d tensor.
    """
    if logits.device.type != "cpu" or len(logits) < 2 or torch.compiler.is_compiling():
        return function(logits, *maps)
    if not torch.is_grad_enabled():
        logits = logits.detach()  # the node sees `requires_grad` alone
    return _ImageByImage.apply(function, logits, *maps)


class _ImageByImage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: BatchSum, logits: Tensor, *maps: Tensor) -> Tensor:
        ctx.function = function
        ctx.gradient = _empty_like(logits) if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(logits, *maps)
        return _sum(function, logits, maps, ctx.gradient)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # given away, to be scaled in place; a retained graph computes it once more
        gradient, ctx.gradient = ctx.gradient, None
        logits, *maps = ctx.saved_tensors
        if gradient is None:
            gradient = _empty_like(logits)
            _sum(ctx.function, logits, maps, gradient)
        return None, gradient.mul_(grad), *(None for _ in maps)


def _sum(
    function: BatchSum, logits: Tensor, maps: list[Tensor] | tuple[Tensor, ...], out: Tensor | None
) -> Tensor:
    """The sum; its gradient goes to ``out``."""

    def image(i: int) -> Tensor:
        own_logits, *own_maps = (x[i : i + 1].detach() for x in (logits, *maps))
        with torch.set_grad_enabled(out is not None):
            value = function(own_logits.requires_grad_(out is not None), *own_maps)
        if out is not None:
            (gradient,) = torch.autograd.grad(value, own_logits)
            out[i : i + 1] = gradient
        return value.detach()

    return torch.stack(map_in_threads(image, range(len(logits)))).sum()


def _empty_like(x: Tensor) -> Tensor:
    """NumPy asks for huge pages: the first touch costs a quarter of that of a fresh tensor."""
    memory = torch.from_numpy(np.empty(x.numel() * x.element_size(), np.uint8)).view(x.dtype)
    return memory.as_strided(x.shape, torch.empty_like(x, device="meta").stride())
