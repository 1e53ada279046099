"""Neighbours' votes against loops over lists."""

import math

import pytest
import torch

from mmrs.ops import knn
from mmrs.ops.knn import leave_one_out_knn


def slow(features, labels, num_classes, k, temperature):
    """Sample by sample, with Python's own numbers."""
    rows, found = features.tolist(), []
    for i, row in enumerate(rows):
        others = []
        for j, other in enumerate(rows):
            if i != j:
                dot = sum(a * b for a, b in zip(row, other, strict=True))
                others.append((dot / math.hypot(*row) / math.hypot(*other), int(labels[j])))
        votes = [0.0] * num_classes
        for similarity, label in sorted(others, reverse=True)[:k]:
            votes[label] += math.exp(similarity / temperature)
        found.append(votes.index(max(votes)))
    return found


@pytest.mark.parametrize("chunk", [7, 1024])
@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 10.0), (500, 0.5)])
def test_votes_are_those_of_a_slow_count(monkeypatch, k, temperature, chunk):
    monkeypatch.setattr(knn, "_CHUNK", chunk)
    labels = torch.randint(0, 4, (40,))
    features = torch.randn(40, 6) + 0.7 * torch.randn(4, 6)[labels]
    options = {"num_classes": 4, "k": k, "temperature": temperature}
    found = leave_one_out_knn(features, labels, **options)
    assert found.tolist() == slow(features, labels, **options)
    assert len(set(found.tolist())) > 1 or k == 500


def test_neighbours_and_temperature_change_the_vote():
    # one neighbour of class 0 is nearer than three of class 1
    angles = torch.tensor([0.0, 0.1, 0.5, 0.52, 0.54])
    features = torch.stack((angles.cos(), angles.sin()), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 1])

    def first(**options):
        return leave_one_out_knn(features, labels, num_classes=2, **options)[0].item()

    assert first(k=1) == 0
    assert first(k=4, temperature=10.0) == 1
    assert first(k=4, temperature=0.05) == 0


def test_a_sample_is_no_neighbour_of_its_own():
    """Each is alone in its class: none can be told, where one's own vote would tell all."""
    features, labels = torch.randn(6, 3), torch.arange(6)
    assert not (leave_one_out_knn(features, labels, num_classes=6, k=3) == labels).any()


def test_lengths_do_not_matter_and_extremes_do_not_overflow():
    labels = torch.randint(0, 3, (20,))
    features = torch.randn(20, 4)
    options = {"num_classes": 3, "k": 5}
    plain = leave_one_out_knn(features, labels, **options)
    longer = leave_one_out_knn(features * torch.rand(20, 1) * 1e6, labels, **options)
    assert torch.equal(plain, longer)
    sharp = leave_one_out_knn(features, labels, temperature=1e-4, **options)
    assert torch.equal(sharp, leave_one_out_knn(features, labels, num_classes=3, k=1))


@pytest.mark.parametrize(
    ("features", "labels", "options", "message"),
    [
        (torch.ones(1, 2), torch.zeros(1).long(), {}, r"features must be \(N >= 2, D\)"),
        (torch.ones(3, 2), torch.zeros(2).long(), {}, r"labels \(N,\), got \(3, 2\) and \(2,\)"),
        (torch.ones(3, 2), torch.tensor([0, 1, 2]), {}, r"labels must be 0 to 1, got \[0, 1, 2\]"),
        (torch.ones(3, 2), torch.zeros(3).long(), {"k": 0}, "k must be >= 1"),
        (torch.ones(3, 2), torch.zeros(3).long(), {"temperature": 0}, "temperature > 0"),
        (torch.full((3, 2), torch.nan), torch.zeros(3).long(), {}, "features must be finite"),
    ],
)
def test_what_cannot_be_voted_on_is_refused(features, labels, options, message):
    with pytest.raises(ValueError, match=message):
        leave_one_out_knn(features, labels, num_classes=2, **options)
