from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmrs.ops.adaptive_mean import adaptive_mean


@pytest.mark.parametrize("cells", [(1, 1), (2, 3), (6, 6)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (6, 12), (13, 4)])
def test_equals_pytorchs_adaptive_pooling(size, cells) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(adaptive_mean(x, *cells), F.adaptive_avg_pool2d(x, cells))


def test_gradient_is_that_of_the_means() -> None:
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: adaptive_mean(x, 2, 3), (x,))


def test_no_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="rows and cols must be >= 1, got 0 and 2"):
        adaptive_mean(torch.zeros(1, 1, 4, 4), 0, 2)
