"""flow_warp: SciPy's sampling, identity at zero flow, gradients, half precision, any layout."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates

from mmrs.ops.warp import flow_warp


def noise(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


# from a fraction of a pixel to a flow that leaves the image almost everywhere
@pytest.mark.parametrize("scale", [0.3, 3.0, 50.0])
@pytest.mark.parametrize("size", [(8, 8), (13, 17), (1, 5)])
def test_equals_scipys_sampling_with_the_edge_repeated(scale, size):
    x, flow = noise(2, 3, *size), noise(2, 2, *size, scale=scale, seed=1)
    out = flow_warp(x, flow).numpy()
    row, column = np.mgrid[: size[0], : size[1]]
    for b in range(2):
        flow_x, flow_y = flow[b].numpy()
        for c in range(3):
            expected = map_coordinates(
                x[b, c].numpy(), [row + flow_y, column + flow_x], order=1, mode="nearest"
            )
            np.testing.assert_allclose(out[b, c], expected, rtol=0, atol=1e-12)


def test_whole_pixels_shift_the_map_left_and_up():
    x = noise(1, 2, 6, 7)
    flow = torch.zeros(1, 2, 6, 7, dtype=torch.float64)
    flow[:, 0], flow[:, 1] = 2, 1  # read two to the right and one below
    torch.testing.assert_close(flow_warp(x, flow)[..., :5, :5], x[..., 1:, 2:])


@pytest.mark.parametrize("size", [(8, 8), (97, 131), (1, 1)])
def test_zero_flow_is_the_identity(size):
    x = noise(2, 3, *size)
    zero = torch.zeros(2, 2, *size)
    torch.testing.assert_close(flow_warp(x, zero.double()), x, rtol=0, atol=1e-12)
    # float32 positions: 131 px at 2^-24 of the full width, times a step between two pixels
    torch.testing.assert_close(flow_warp(x.float(), zero), x.float(), rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("small", "large"), [((4, 6), (8, 12)), ((5, 3), (17, 11)), ((9, 9), (4, 4))]
)
def test_zero_flow_of_another_size_is_bilinear_interpolation(small, large):
    x = noise(2, 3, *small)
    out = flow_warp(x, torch.zeros(2, 2, *large, dtype=torch.float64))
    expected = F.interpolate(x, size=large, mode="bilinear", align_corners=False)
    torch.testing.assert_close(out, expected)


def test_gradcheck():
    x = noise(1, 2, 4, 5).requires_grad_()
    flow = noise(1, 2, 4, 5, scale=1.5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(flow_warp, (x, flow))


def test_a_zero_flow_still_learns():
    x, flow = noise(1, 2, 8, 8), torch.zeros(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    flow_warp(x, flow).square().sum().backward()
    assert (flow.grad[..., 1:-1, 1:-1] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_loses_values_only_never_positions(dtype):
    x = noise(1, 1, 1, 2000)
    flow = torch.full((1, 2, 1, 2000), 0.5, dtype=dtype)
    out = flow_warp(x.to(dtype), flow)
    exact = flow_warp(x.to(dtype).double(), flow.double())
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), exact, rtol=1e-2, atol=1e-3)


def test_works_under_autocast():
    x, flow = noise(1, 3, 9, 9).float(), noise(1, 2, 9, 9, scale=2).float()
    plain = flow_warp(x, flow)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(flow_warp(x, flow), plain)
        assert flow_warp(x.bfloat16(), flow.bfloat16()).dtype == torch.bfloat16


def test_memory_format_changes_no_value_and_no_gradient():
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = noise(2, 8, 9, 11).to(memory_format=memory_format).requires_grad_()
        flow = noise(2, 2, 9, 11, scale=2, seed=1).to(memory_format=memory_format).requires_grad_()
        out = flow_warp(x, flow)
        results.append((out, *torch.autograd.grad(out.square().sum(), (x, flow))))
    for plain, last in zip(*results, strict=True):
        torch.testing.assert_close(plain, last)


@pytest.mark.parametrize(
    ("x", "flow"),
    [((1, 3, 4, 4), (1, 3, 4, 4)), ((2, 3, 4, 4), (1, 2, 4, 4)), ((3, 4, 4), (1, 2, 4, 4))],
)
def test_shapes_that_do_not_belong_together_are_refused(x, flow):
    with pytest.raises(ValueError, match=r"x must be \(B, C, h, w\) and flow \(B, 2, H, W\)"):
        flow_warp(torch.zeros(x), torch.zeros(flow))
