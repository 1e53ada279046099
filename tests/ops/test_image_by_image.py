"""sum_image_by_image: the value and gradient of the plain call."""

import pytest
import torch

from mmrs.ops.image_by_image import sum_image_by_image


def weighted(logits, weight):
    """A sum over images that is neither linear in the logits nor the same in each."""
    return (logits.softmax(1).square() * weight[:, None]).sum()


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def case(batch=3, dtype=torch.float64):
    torch.manual_seed(batch)
    logits = torch.randn(batch, 4, 5, 6, dtype=dtype, requires_grad=True)
    return logits, torch.rand(batch, 5, 6, dtype=dtype)


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_equals_the_plain_call_and_its_gradient(batch, threads):
    logits, weight = case(batch)
    out, expected = sum_image_by_image(weighted, logits, weight), weighted(logits, weight)
    torch.testing.assert_close(out, expected)
    (a,), (b,) = (torch.autograd.grad(-3 * x, logits) for x in (out, expected))
    torch.testing.assert_close(a, b)


def test_gradcheck_and_untouched_inputs():
    logits, weight = case()
    before = logits.detach().clone(), weight.clone()
    assert torch.autograd.gradcheck(lambda z: sum_image_by_image(weighted, z, weight), (logits,))
    assert torch.equal(logits.detach(), before[0]) and torch.equal(weight, before[1])


def test_a_retained_graph_gives_the_gradient_again_and_leaves_the_first_alone():
    logits, weight = case()
    out = sum_image_by_image(weighted, logits, weight)
    (first,) = torch.autograd.grad(out, logits, retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(5 * out, logits)
    torch.testing.assert_close(second, 5 * kept)
    assert torch.equal(first, kept)


def test_without_a_gradient_the_function_builds_no_graph():
    logits, weight = case()
    graphs = []

    def function(z, w):
        graphs.append(torch.is_grad_enabled() or z.requires_grad)
        return weighted(z, w)

    with torch.no_grad():
        out = sum_image_by_image(function, logits, weight)
    assert graphs == [False] * 3 and not out.requires_grad
    torch.testing.assert_close(out, weighted(logits, weight).detach())


def test_the_function_sees_one_image_at_a_time():
    logits, weight = case()
    sizes = []
    sum_image_by_image(lambda z, w: sizes.append((len(z), len(w))) or z.sum(), logits, weight)
    assert sizes == [(1, 1)] * 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_gradient_has_the_dtype_and_the_strides_of_the_logits(dtype):
    logits, weight = case(dtype=dtype)
    logits = logits.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    (grad,) = torch.autograd.grad(sum_image_by_image(weighted, logits, weight), logits)
    assert grad.dtype == dtype
    assert grad.is_contiguous(memory_format=torch.channels_last)
    (expected,) = torch.autograd.grad(weighted(logits, weight), logits)
    torch.testing.assert_close(grad, expected)


def test_an_error_of_the_function_reaches_the_caller():
    def fail(z):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        sum_image_by_image(fail, case()[0])
