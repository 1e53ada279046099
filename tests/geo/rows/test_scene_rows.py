from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy

from mmrs.geo.rows.scene_rows import SceneRows, Wanted, decide_rows, relative_entropy

ALL = Wanted(confidence=True, entropy=True, probabilities=True)


def probabilities(num_classes: int, *shape: int) -> np.ndarray:
    scores = np.random.default_rng(0).random((num_classes, *shape)) ** 3
    return (scores / scores.sum(axis=0)).astype(np.float32)


def test_rows_are_decided_pixel_by_pixel() -> None:
    scores = probabilities(4, 5, 6)
    scores[:, 2, 3] = 0.25  # of equals the first
    rows = decide_rows(scores, None, ALL)
    for row, col in np.ndindex(5, 6):
        pixel = [float(score) for score in scores[:, row, col]]
        assert rows.labels[row, col] == pixel.index(max(pixel))
        assert rows.confidence[row, col] == pytest.approx(max(pixel))
        told = -sum(p * math.log(p) for p in pixel if p) / math.log(4)
        assert rows.entropy[row, col] == pytest.approx(told, abs=1e-6)
    np.testing.assert_array_equal(rows.probabilities, scores)
    assert decide_rows(scores, None, Wanted()).confidence is None


def test_a_threshold_decides_between_two_classes() -> None:
    scores = np.array([[[0.7, 0.69, 0.2]], [[0.3, 0.31, 0.8]]], dtype=np.float32)
    np.testing.assert_array_equal(decide_rows(scores, 0.3, Wanted()).labels, [[0, 1, 1]])


@pytest.mark.parametrize("num_classes", [1, 2, 7])
def test_entropy_is_scipys_over_its_largest(num_classes: int) -> None:
    scores = probabilities(num_classes, 8, 9)
    if num_classes == 1:
        assert not relative_entropy(scores).any()
        return
    expected = entropy(scores.astype(np.float64), axis=0) / np.log(num_classes)
    np.testing.assert_allclose(relative_entropy(scores), expected, atol=1e-6)
    certain = np.zeros_like(scores)
    certain[0] = 1
    assert not relative_entropy(certain).any()
    np.testing.assert_allclose(
        relative_entropy(np.full_like(scores, 1 / num_classes)), 1, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["full", "one for all"])
def test_what_has_no_data_has_no_prediction(kind: str) -> None:
    invalid = np.random.default_rng(1).random((5, 6)) < 0.4
    if kind == "one for all":
        invalid = np.ones((1, 1), dtype=bool)
    rows = decide_rows(probabilities(3, 5, 6), None, ALL)
    before = rows.labels.copy()
    rows.clear(invalid)
    invalid = np.broadcast_to(invalid, (5, 6))
    assert (rows.labels[invalid] == 255).all()
    np.testing.assert_array_equal(rows.labels[~invalid], before[~invalid])
    for scores in (rows.confidence, rows.entropy, *rows.probabilities):
        np.testing.assert_array_equal(np.isnan(scores), invalid)


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_scores_that_are_not_numbers_give_no_class(threshold) -> None:
    scores = probabilities(2, 5, 6)
    scores[1, 2, 3] = np.nan
    labels = decide_rows(scores, threshold, Wanted()).labels
    np.testing.assert_array_equal(labels == 255, np.isnan(scores).any(axis=0))


def test_parts_and_other_grids_hold_the_same_pixels_of_every_array() -> None:
    rows = decide_rows(probabilities(3, 7, 6), None, ALL)
    part = rows.part(2, 5)
    taken = rows.take(np.array([6, 0, 0]), np.array([5, 1]))
    assert (len(rows), len(part), len(taken)) == (7, 3, 3)
    for name in ("labels", "confidence", "entropy", "probabilities"):
        whole = getattr(rows, name)
        np.testing.assert_array_equal(getattr(part, name), whole[..., 2:5, :])
        expected = np.stack([whole[..., row, :][..., [5, 1]] for row in (6, 0, 0)], axis=-2)
        np.testing.assert_array_equal(getattr(taken, name), expected)
    assert np.shares_memory(part.labels, rows.labels)
    assert SceneRows(rows.labels).part(0, 2).confidence is None
