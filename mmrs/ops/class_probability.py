"""Softmax probability of one class, with its gradient in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def class_probability(logits: Tensor, class_index: Tensor) -> Tensor:
    """``logits.softmax(1)[:, class_index]`` at about the price of the softmax.

    Autograd would scatter into a map of zeros and run the whole softmax backward; here
    dP_c / dz_k = P_c (1[k = c] - P_k) is written down.

    Args:
        logits: (B, K, ...) float.
        class_index: 0-d int64 tensor.

    Returns:
        (B, ...) probabilities.
    """
    return _ClassProbability.apply(logits, class_index)


class _ClassProbability(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, class_index: Tensor) -> Tensor:
        probability = logits.softmax(dim=1)
        ctx.save_for_backward(probability, class_index)
        return probability.index_select(1, class_index.reshape(1)).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        probability, class_index = ctx.saved_tensors
        index = class_index.reshape(1)
        along_class = grad[:, None] * probability.index_select(1, index)  # g P_c
        grad_logits = probability * -along_class
        return grad_logits.index_add_(1, index, along_class), None
