"""weighted_squared_error: the plain expression, forward and backward."""

import torch

from mmrs.ops.weighted_squared_error import weighted_squared_error


def test_equals_the_plain_expression_and_its_gradient():
    p = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    truth, weight = torch.rand(2, 3, 4) > 0.5, torch.rand(2, 3, 4, dtype=torch.float64)
    expected = ((p - truth.double()) ** 2 * weight).sum()
    out = weighted_squared_error(p, truth, weight)
    torch.testing.assert_close(out, expected)
    (a,) = torch.autograd.grad(3 * out, p)
    (b,) = torch.autograd.grad(3 * expected, p)
    torch.testing.assert_close(a, b)


def test_gradcheck_and_an_untouched_input():
    p = torch.rand(5, dtype=torch.float64, requires_grad=True)
    before = p.detach().clone()
    truth, weight = torch.tensor([True, False, True, False, True]), torch.rand(5).double()
    assert torch.autograd.gradcheck(lambda x: weighted_squared_error(x, truth, weight), (p,))
    assert torch.equal(p.detach(), before)
