"""Sum of weighted squared errors in few passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def weighted_squared_error(prediction: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """``((prediction - truth) ** 2 * weight).sum()``, its gradient kept from the forward pass.

    Args:
        prediction: any shape, float; takes the gradient.
        truth: same shape, bool or float.
        weight: same shape, float.

    Returns:
        0-d tensor.
    """
    return _WeightedSquaredError.apply(prediction, truth, weight)


class _WeightedSquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, prediction: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        if truth.dtype == torch.bool:
            truth = truth.view(torch.uint8)  # bytes become floats ten times as fast
        error = prediction - truth.to(prediction)
        weighted = error * weight
        ctx.save_for_backward(weighted)
        return (error.mul_(weighted)).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (weighted,) = ctx.saved_tensors
        return weighted * (2 * grad), None, None
