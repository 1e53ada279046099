"""class_probability: the softmax of one class, forward and backward."""

import torch

from mmrs.ops.class_probability import class_probability


def test_equals_the_softmax_and_its_gradient():
    logits = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 4, dtype=torch.float64)
    for label in range(5):
        index = torch.tensor(label)
        expected = logits.softmax(1)[:, label]
        out = class_probability(logits, index)
        torch.testing.assert_close(out, expected)
        (a,) = torch.autograd.grad((out * weight).sum(), logits)
        (b,) = torch.autograd.grad((expected * weight).sum(), logits)
        torch.testing.assert_close(a, b)


def test_gradcheck():
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: class_probability(z, torch.tensor(1)), (logits,))
