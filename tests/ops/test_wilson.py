"""Wilson's interval against its definition, and how often it holds."""

import math

import pytest

from mmrs.ops.wilson import wilson_interval


@pytest.mark.parametrize(("correct", "total"), [(1, 10), (5, 10), (40, 63), (999, 1000)])
def test_its_ends_are_the_shares_that_a_test_would_just_not_reject(correct, total):
    z = 1.959963984540054  # 97.5 % of a normal distribution
    for end in wilson_interval(correct, total):
        error = math.sqrt(end * (1 - end) / total)
        assert abs(correct / total - end) == pytest.approx(z * error)


def test_none_and_all_have_intervals_too():
    assert wilson_interval(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson_interval(10, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_holds_the_share_about_as_often_as_it_says(confidence):
    """On the average of many shares; for a single one, whole numbers make it more or less."""
    total, shares, holds = 60, [number / 200 for number in range(20, 181)], 0.0
    ends = [wilson_interval(n, total, confidence=confidence) for n in range(total + 1)]
    for share in shares:
        for n, (low, high) in enumerate(ends):
            if low <= share <= high:
                chance = math.comb(total, n) * share**n * (1 - share) ** (total - n)
                holds += chance / len(shares)
    assert holds == pytest.approx(confidence, abs=0.01)


@pytest.mark.parametrize("numbers", [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(numbers):
    with pytest.raises(ValueError, match="correct must be 0 to total >= 1"):
        wilson_interval(*numbers)
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got 1"):
        wilson_interval(1, 2, confidence=1)
