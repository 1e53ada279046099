"""narrow_conv2d: conv2d by another order of the sums."""

import pytest
import torch
import torch.nn.functional as F

from mmrs.ops.narrow_conv import narrow_conv2d


@pytest.mark.parametrize("kernel", [1, 3, 7, 15])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 4)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_conv2d(kernel, size, memory_format):
    generator = torch.Generator().manual_seed(kernel)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    weight = torch.randn(2, 3, kernel, kernel, generator=generator, dtype=torch.float64)
    weight.requires_grad_()
    upstream = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64)
    ours = narrow_conv2d(x, weight)
    stock = F.conv2d(x, weight, padding=kernel // 2)
    torch.testing.assert_close(ours, stock)
    for mine, theirs in zip(
        torch.autograd.grad(ours, (x, weight), upstream),
        torch.autograd.grad(stock, (x, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (2, 3, 3, 5)])
def test_an_even_or_oblong_kernel_is_refused(shape):
    with pytest.raises(ValueError, match="must be square and odd, got"):
        narrow_conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(shape))
