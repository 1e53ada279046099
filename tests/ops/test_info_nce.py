"""InfoNCE against its closed form, the queue against a deque."""

import math
from collections import deque

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.ops.info_nce import (
    contrast_logits,
    discrimination_accuracy,
    enqueue,
    info_nce,
    own_keys,
)


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def slow_info_nce(queries, positives, negatives, temperature, mask) -> float:
    """Eq. 10 as it is printed: one query after the other, one key after the other."""
    total = 0.0
    for n, query in enumerate(queries.tolist()):
        own = math.exp(_dot(query, positives[n].tolist()) / temperature)
        others = sum(
            math.exp(_dot(query, key) / temperature)
            for k, key in enumerate(negatives.tolist())
            if not mask[n][k]
        )
        total -= math.log(own / (own + others))
    return total / len(queries)


def _dot(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_loss_is_the_closed_form(temperature):
    queries, positives, negatives = unit(3, 5, seed=0), unit(3, 5, seed=1), unit(7, 5, seed=2)
    mask = torch.rand(3, 7, generator=torch.Generator().manual_seed(3)) < 0.4
    logits = contrast_logits(queries, positives, negatives, temperature=temperature, mask=mask)
    slow = slow_info_nce(queries, positives, negatives, temperature, mask)
    assert mask.any() and logits.shape == (3, 8)
    assert info_nce(logits).item() == pytest.approx(slow, rel=1e-12)


def test_a_masked_key_changes_neither_loss_nor_gradient():
    queries, positives = unit(2, 4, seed=0).requires_grad_(), unit(2, 4, seed=1)
    found = []
    for seed in (2, 3):
        negatives = unit(5, 4, seed=9)
        negatives[4] = unit(4, seed=seed)
        mask = torch.zeros(2, 5, dtype=torch.bool)
        mask[:, 4] = True
        loss = info_nce(contrast_logits(queries, positives, negatives, mask=mask))
        found.append((loss.item(), torch.autograd.grad(loss, queries)[0]))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_all_keys_masked_is_a_loss_of_zero_with_a_finite_gradient():
    queries = unit(2, 4, seed=0).requires_grad_()
    logits = contrast_logits(
        queries, unit(2, 4, seed=1), unit(3, 4, seed=2), mask=torch.ones(2, 3, dtype=torch.bool)
    )
    loss = info_nce(logits)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(queries.grad).all()


def test_half_precision_is_compared_in_float32():
    queries, keys = unit(2, 4, seed=0), unit(2, 4, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = contrast_logits(queries.float(), keys.float(), keys.float(), temperature=0.01)
    assert logits.dtype == torch.float32
    exact = contrast_logits(queries, keys, keys, temperature=0.01)
    assert (logits - exact).abs().max() < 1e-4


def test_temperature_must_be_positive():
    keys = unit(2, 4, seed=0)
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        contrast_logits(keys, keys, keys, temperature=0)


def test_accuracy_counts_ranks_and_a_tie_against_the_query():
    logits = torch.tensor([[3.0, 1, 2], [1, 2, 0], [0, 1, 2], [1, 1, -torch.inf]])
    # ranks 1, 2, 3, and 2 by the tie
    assert [discrimination_accuracy(logits, top=k).item() for k in (1, 2, 3)] == [25, 75, 100]


def test_similarities_that_are_no_numbers_find_nothing():
    logits = torch.tensor([[math.nan] * 4, [1.0, math.nan, 0.0, -math.inf]])
    assert discrimination_accuracy(logits, top=1) == 0
    assert discrimination_accuracy(logits, top=2) == 50  # one of three is not known to be further


def test_own_keys_are_those_of_the_same_image():
    mask = own_keys(torch.tensor([3, 0]), torch.tensor([0, 3, -1, 3]))
    assert mask.tolist() == [[False, True, False, True], [True, False, False, False]]


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 9), batches=st.lists(st.integers(0, 12), max_size=6))
def test_queue_is_a_deque_of_any_length_with_batches_of_any_size(length, batches):
    slow = deque([(-1, -1.0)] * length, maxlen=length)
    queue, ids, pointer = torch.full((length, 1), -1.0), torch.full((length,), -1), 0
    number = 0
    for count in batches:
        new = list(range(number, number + count))
        number += count
        slow.extend((n, n / 10) for n in new)
        pointer = enqueue(
            queue, ids, pointer, torch.tensor(new).view(-1, 1) / 10, torch.tensor(new).long()
        )
    # from the oldest on
    assert ids.roll(-pointer).tolist() == [n for n, _ in slow]
    assert queue[:, 0].roll(-pointer).tolist() == pytest.approx([v for _, v in slow])
