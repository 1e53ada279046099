"""Finished rows of a scene in memory: the map of a scene that becomes no file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.georeference import Georeference
from mmrs.geo.rows.scene_rows import Floats, SceneRows, Wanted


@dataclass
class _Arrays:
    labels: NDArray[np.uint8]
    scores: dict[str, Floats]


class MemoryRows:
    """Takes the place of a class map's path where a map is wanted as arrays.

    It takes rows as a `mmrs.geo.rows.row_spool.RowSpool` does.  Scores are kept as they are, where
    files hold them rounded.

    Attributes:
        height: Rows of the scene.
        width: Columns of the scene.
        rows: Rows that are there; append the next ones.
        georeference: Of the scene.
    """

    def __init__(self) -> None:
        self.height = self.width = self.rows = 0
        self.georeference = Georeference()
        self._arrays: _Arrays | None = None

    def __enter__(self) -> MemoryRows:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the rows, whatever happened."""

    def begin(
        self,
        *,
        height: int,
        width: int,
        wanted: Wanted,
        num_classes: int,
        georeference: Georeference,
    ) -> None:
        """Make room for a scene; what was there is left to whoever holds it.

        Raises:
            ValueError: A size is below 1.
        """
        if min(height, width, num_classes) < 1:
            raise ValueError(
                f"height, width and num_classes must be >= 1, got {height}, {width}, {num_classes}"
            )
        self.height, self.width, self.rows = height, width, 0
        self.georeference = georeference
        shapes = {
            "confidence": (height, width),
            "entropy": (height, width),
            "probabilities": (num_classes, height, width),
        }
        self._arrays = _Arrays(
            np.empty((height, width), dtype=np.uint8),
            {
                name: np.empty(shape, dtype=np.float32)
                for name, shape in shapes.items()
                if getattr(wanted, name)
            },
        )

    def append(self, rows: SceneRows) -> None:
        """Keep the next rows.

        Raises:
            ValueError: They are of another width, too many, or lack a score.
        """
        arrays = self._begun()
        first, last = self.rows, self.rows + len(rows)
        if last > self.height:
            raise ValueError(f"row {last} of a scene of {self.height}")
        if rows.labels.shape[1] != self.width:
            raise ValueError(f"rows must have {self.width} columns, got {rows.labels.shape[1]}")
        arrays.labels[first:last] = rows.labels
        for name, kept in arrays.scores.items():
            scores = getattr(rows, name)
            if scores is None:
                raise ValueError(f"{name} is wanted, but the rows have none")
            kept[..., first:last, :] = scores
        self.rows = last

    def result(self) -> SceneRows:
        """All rows as one; the arrays themselves, no copies.

        Raises:
            ValueError: Rows are missing.
        """
        arrays = self._begun()
        if self.rows < self.height:
            raise ValueError(f"{self.rows} of {self.height} rows are there")
        return SceneRows(arrays.labels, **arrays.scores)

    def delete(self) -> None:
        """Let go of the arrays; whoever has the result keeps them."""
        self._arrays, self.rows = None, 0

    def _begun(self) -> _Arrays:
        if self._arrays is None:
            raise ValueError("begin comes first")
        return self._arrays
