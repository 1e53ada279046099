"""window_attention: both paths and both layouts against a loop, at any size."""

import numpy as np
import pytest
import torch

from mmrs.ops.attention import attention_path, window_attention
from tests import oracles


def qkv(*shape: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("path", ["eager", "sdpa"])
@pytest.mark.parametrize("layout", ["contiguous", "grid"])
@pytest.mark.parametrize("size", [(8, 8), (5, 11), (3, 2)])
def test_equals_a_loop_over_the_real_pixels_of_a_window(path, layout, size):
    tensors = qkv(2, 6, *size)
    out = window_attention(*tensors, num_heads=2, window_size=4, layout=layout, path=path)
    expected = oracles.window_attention(*(x.numpy() for x in tensors), 2, 4, layout)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", ["contiguous", "grid"])
def test_both_paths_have_the_same_gradients(layout):
    gradients = []
    for path in ("eager", "sdpa"):
        tensors = [x.requires_grad_() for x in qkv(1, 8, 9, 7)]
        out = window_attention(*tensors, num_heads=2, window_size=4, layout=layout, path=path)
        gradients.append(torch.autograd.grad(out.square().sum(), tensors))
    for eager, sdpa in zip(*gradients, strict=True):
        torch.testing.assert_close(eager, sdpa)


def test_gradcheck():
    tensors = [x.requires_grad_() for x in qkv(1, 2, 3, 3)]
    assert torch.autograd.gradcheck(
        lambda q, k, v: window_attention(q, k, v, num_heads=1, window_size=2, path="eager"), tensors
    )


def test_a_window_that_is_all_padding_yields_no_nan():
    # a grid of 8 windows across a map 2 px wide: columns 2..7 of every window are padding
    tensors = [x.float().requires_grad_() for x in qkv(1, 4, 2, 2)]
    out = window_attention(*tensors, num_heads=1, window_size=8, layout="grid")
    out.sum().backward()
    assert out.isfinite().all() and all(x.grad.isfinite().all() for x in tensors)


@pytest.mark.parametrize("path", ["eager", "sdpa"])
def test_half_precision_with_padding_is_finite_and_close(path):
    tensors = [x.to(torch.bfloat16) for x in qkv(1, 8, 6, 6)]
    out = window_attention(*tensors, num_heads=2, window_size=4, path=path)
    exact = window_attention(*(x.double() for x in tensors), num_heads=2, window_size=4)
    torch.testing.assert_close(out.double(), exact, rtol=0.05, atol=0.05)


def test_auto_takes_a_known_path():
    assert attention_path(torch.device("cpu")) in ("eager", "sdpa")


def test_bad_options_are_refused():
    q, k, v = qkv(1, 6, 4, 4)
    with pytest.raises(ValueError, match="multiple of num_heads=4, got 6"):
        window_attention(q, k, v, num_heads=4, window_size=4)
    with pytest.raises(ValueError, match="layout"):
        window_attention(q, k, v, num_heads=2, window_size=4, layout="strided")
    with pytest.raises(ValueError, match="path"):
        window_attention(q, k, v, num_heads=2, window_size=4, path="fast")
    with pytest.raises(ValueError, match="one shape"):
        window_attention(q, k, v[:, :3], num_heads=2, window_size=4)
