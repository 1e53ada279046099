"""class_sums: a loop, and what one float32 bin would lose."""

import torch

from mmrs.ops.class_sums import class_sums


def test_sums_are_those_of_a_loop_and_their_gradient_is_one():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, 5, 7, generator=generator, dtype=torch.float64).requires_grad_()
    index = torch.randint(0, 3, (2, 5, 7), generator=generator)
    sums = class_sums(values, index, 4)
    for b in range(2):
        for k in range(4):
            expected = sum(
                values[b, y, x].item() for y in range(5) for x in range(7) if index[b, y, x] == k
            )
            assert abs(sums[b, k].item() - expected) < 1e-12
    sums.sum().backward()
    assert (values.grad == 1).all()


def test_millions_of_values_keep_their_digits():
    values = torch.full((1, 2048, 2048), 0.98)
    index = torch.zeros(1, 2048, 2048, dtype=torch.long)
    exact = 0.98 * 2048**2
    assert abs(class_sums(values, index, 2)[0, 0].item() / exact - 1) < 1e-4
    # the property is worth a function only while the plain way lacks it
    plain = torch.zeros(2).scatter_add(0, index.flatten(), values.flatten())[0]
    assert abs(plain.item() / exact - 1) > 1e-3
