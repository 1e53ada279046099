from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.rows.score_codes import score_code


@pytest.mark.parametrize(
    ("dtype", "steps", "nodata"), [("uint8", 250, 255), ("uint16", 10_000, 65535)]
)
def test_codes_are_the_nearest_steps(dtype: str, steps: int, nodata: int) -> None:
    code = score_code(dtype)
    scores = np.array([0, 1, 0.5, 0.1, 1 / 3, np.nan, -1e-6, 1 + 1e-6], dtype=np.float32)
    found = code.encode(scores)
    # 0.1 and 1/3 by hand: 25 and 83.3 of 250; 1000 and 3333.3 of 10000
    by_hand = {250: (25, 83), 10_000: (1000, 3333)}[steps]
    assert found.tolist() == [0, steps, steps // 2, *by_hand, nodata, 0, steps]
    assert found.dtype == dtype
    assert code.scale == 1 / steps


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_code_is_that_of_the_score_it_stands_for(dtype: str) -> None:
    code = score_code(dtype)
    codes = np.array([*range(code.steps + 1), code.nodata]).astype(dtype)
    scores = code.decode(codes)
    np.testing.assert_array_equal(code.encode(scores), codes)
    assert np.isnan(scores[-1]) and np.isfinite(scores[:-1]).all()
    np.testing.assert_allclose(scores[:-1], np.arange(code.steps + 1) / code.steps, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_error_is_half_a_step_at_most(dtype: str) -> None:
    code = score_code(dtype)
    scores = np.linspace(0, 1, 100_001, dtype=np.float32)
    error = np.abs(code.decode(code.encode(scores)) - scores).max()
    assert error <= (0.5 * code.scale + 1e-6 if code.steps else 0)


def test_encoding_leaves_the_scores_as_they_are() -> None:
    scores = np.array([0.25, np.nan, 2], dtype=np.float32)
    score_code("uint8").encode(scores)
    np.testing.assert_array_equal(scores, np.array([0.25, np.nan, 2], dtype=np.float32))


def test_floats_are_kept_and_missing_ones_are_nan() -> None:
    code = score_code("float32")
    scores = np.array([0.123456, np.nan, 1.5], dtype=np.float32)
    np.testing.assert_array_equal(code.encode(scores), np.float32([0.123456, np.nan, 1]))
    assert np.isnan(code.nodata)


def test_other_types_are_refused() -> None:
    with pytest.raises(
        ValueError, match="scores are stored as uint8, uint16, float32, not as 'f2'"
    ):
        score_code("f2")
