"""Weights of classes, against the formulas of their sources."""

from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.class_weights import METHODS, class_weights

PIXELS = [1000, 10, 0, 100]


def test_inverse_weights_make_every_class_weigh_the_same() -> None:
    weights = class_weights(PIXELS, "inverse")
    np.testing.assert_allclose((weights * PIXELS)[[0, 1, 3]], weights[0] * 1000)


def test_median_weights_are_eigen_and_fergus() -> None:
    # class 1 occurs in images of 200 labelled pixels, so its frequency is 10 / 200
    weights = class_weights(PIXELS, "median", in_reach=[1110, 200, 0, 1110])
    frequency = np.array([1000 / 1110, 10 / 200, 100 / 1110])
    expected = np.median(frequency) / frequency
    np.testing.assert_allclose(weights[[0, 1, 3]], expected / expected.mean())


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
def test_effective_weights_are_cuis(beta: float) -> None:
    weights = class_weights(PIXELS, "effective", beta=beta)
    expected = np.array([(1 - beta) / (1 - beta**n) for n in (1000, 10, 100)])
    np.testing.assert_allclose(weights[[0, 1, 3]], expected / expected.mean())


@pytest.mark.parametrize("method", METHODS)
def test_mean_is_one_and_an_absent_class_has_none(method: str) -> None:
    weights = class_weights([10**12, 5, 0, 10**6], method)  # type: ignore[arg-type]
    assert weights[2] == 0 and np.isfinite(weights).all()
    assert weights[[0, 1, 3]].mean() == pytest.approx(1)
    assert weights[1] > weights[3] >= weights[0] > 0


def test_wrong_options_are_refused() -> None:
    for pixels, options, message in (
        ([0, 0], {}, "one > 0"),
        ([-1, 2], {}, "pixels must be >= 0"),
        ([1, 2], {"method": "x"}, "got 'x'"),
        ([1, 2], {"method": "effective", "beta": 1.0}, "beta must be in 0 .. 1"),
    ):
        with pytest.raises(ValueError, match=message):
            class_weights(pixels, **options)
