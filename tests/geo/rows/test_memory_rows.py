from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.georeference import Georeference
from mmrs.geo.rows.memory_rows import MemoryRows
from mmrs.geo.rows.scene_rows import SceneRows, Wanted, decide_rows

WANTED = Wanted(confidence=True, entropy=True, probabilities=True)


def make_rows(height: int = 9, width: int = 5) -> SceneRows:
    scores = np.random.default_rng(0).dirichlet(np.ones(3), (height, width)).astype(np.float32)
    rows = decide_rows(np.moveaxis(scores, -1, 0), None, WANTED)
    rows.clear(np.eye(height, width, dtype=bool))
    return rows


def begun(wanted: Wanted, height: int = 9) -> MemoryRows:
    kept = MemoryRows()
    kept.begin(height=height, width=5, wanted=wanted, num_classes=3, georeference=Georeference())
    return kept


@pytest.mark.parametrize("cuts", [(9,), (1, 2, 9), (4, 5, 8, 9)])
def test_rows_come_back_as_they_were_given(cuts: tuple[int, ...]) -> None:
    rows, kept = make_rows(), begun(WANTED)
    for first, last in zip((0, *cuts), cuts, strict=False):
        assert kept.rows == first
        kept.append(rows.part(first, last))
    found = kept.result()
    for name in ("labels", "confidence", "entropy", "probabilities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name))


def test_only_what_is_wanted_is_kept() -> None:
    kept = begun(Wanted(entropy=True))
    kept.append(make_rows())
    assert kept.result().entropy is not None
    assert kept.result().confidence is None
    assert kept.result().probabilities is None


def test_a_second_scene_leaves_the_first_ones_arrays_alone() -> None:
    kept = begun(Wanted())
    kept.append(make_rows())
    first = kept.result().labels
    before = first.copy()
    kept.begin(height=2, width=5, wanted=Wanted(), num_classes=3, georeference=Georeference())
    kept.append(SceneRows(np.full((2, 5), 7, np.uint8)))
    np.testing.assert_array_equal(first, before)
    assert (kept.result().labels == 7).all()


def test_misuse_is_told() -> None:
    with pytest.raises(ValueError, match="begin comes first"):
        MemoryRows().append(make_rows())
    with pytest.raises(ValueError, match="must be >= 1, got 0, 5, 3"):
        begun(Wanted(), height=0)
    kept = begun(Wanted(confidence=True))
    with pytest.raises(ValueError, match="confidence is wanted, but the rows have none"):
        kept.append(SceneRows(np.zeros((1, 5), np.uint8)))
    with pytest.raises(ValueError, match="rows must have 5 columns, got 1"):
        kept.append(SceneRows(np.zeros((1, 1), np.uint8)))
    with pytest.raises(ValueError, match="row 10 of a scene of 9"):
        kept.append(SceneRows(np.zeros((10, 5), np.uint8)))
    with pytest.raises(ValueError, match="0 of 9 rows are there"):
        kept.result()
