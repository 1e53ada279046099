"""Probabilities as whole numbers: what a score raster holds, and how it is read as a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ScoreType = Literal["uint8", "uint16", "float32"]


@dataclass(frozen=True)
class ScoreCode:
    """How scores from 0 to 1 are stored.

    Attributes:
        dtype: ``uint8`` (steps of 0.004), ``uint16`` (steps of 0.0001), or ``float32`` (as it is).
        steps: Code of 1; the code of a score is the nearest whole number to score * steps, of two
            equally near ones the larger.  0 for floats.
        nodata: Code where there is no prediction.
    """

    dtype: ScoreType
    steps: int
    nodata: float

    @property
    def scale(self) -> float:
        """Score that one step of the code is worth."""
        return 1.0 / self.steps if self.steps else 1.0

    def encode(self, scores: NDArray[np.float32]) -> NDArray[Any]:
        """Scores of any shape, NaN where there is none -> codes; values beyond 0 to 1 are clipped.

        ``encode(decode(codes))`` gives the codes back.
        """
        if not self.steps:
            return np.clip(scores, 0, 1)
        scaled = np.clip(scores, 0, 1)
        missing = np.isnan(scaled)
        scaled *= np.float32(self.steps)
        scaled += np.float32(0.5)
        scaled[missing] = self.nodata
        return scaled.astype(self.dtype)

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Codes of any shape -> scores, NaN where there is none."""
        if not self.steps:
            return np.asarray(codes, dtype=np.float32)
        scores = codes.astype(np.float32)
        scores /= np.float32(self.steps)
        scores[codes == self.nodata] = np.nan
        return scores


_CODES = {
    "uint8": ScoreCode("uint8", 250, 255),
    "uint16": ScoreCode("uint16", 10_000, 65_535),
    "float32": ScoreCode("float32", 0, float("nan")),
}


def score_code(dtype: str) -> ScoreCode:
    """The code of a type.

    Raises:
        ValueError: If scores are not stored in that type.
    """
    if dtype not in _CODES:
        raise ValueError(f"scores are stored as {', '.join(_CODES)}, not as {dtype!r}")
    return _CODES[dtype]
