"""A scene's finished rows: which, in which order, with which gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrs.apis.scene.scene_job import SceneJob, ValidQueue
from mmrs.apis.scene.scene_stream import Place, ValidRows
from mmrs.geo.rows.scene_rows import SceneRows
from mmrs.geo.windows import plan_windows

HEIGHT, WIDTH = 23, 5


class RowNumbers:
    """A band whose labels are the numbers of the rows; hands out late, as one on a GPU does."""

    def __init__(self, piece: int, late: bool) -> None:
        self.top, self.piece, self.late = 0, piece, late
        self.waiting: list[SceneRows] = []

    def add(self, window, scores) -> None:
        assert window.row == self.top

    def pop_until(self, row: int) -> Iterator[SceneRows]:
        assert self.top <= row <= HEIGHT
        earlier = len(self.waiting)
        while self.top < row:
            end = min(row, self.top + self.piece)
            labels = np.repeat(np.arange(self.top, end, dtype=np.uint8)[:, None], WIDTH, axis=1)
            self.waiting.append(SceneRows(labels))
            self.top = end
        for _ in range(earlier if self.late and row < HEIGHT else len(self.waiting)):
            yield self.waiting.pop(0)


@pytest.mark.parametrize("late", [False, True])
@given(
    first=st.integers(0, HEIGHT), last=st.integers(0, HEIGHT), piece=st.integers(1, 9),
    lines=st.sets(st.integers(0, 9)),
)  # fmt: skip
def test_exactly_the_wanted_rows_are_handed_on(late, first, last, piece, lines) -> None:
    first, last = min(first, last), max(first, last)
    plan = plan_windows(HEIGHT, WIDTH, (6, 5), (2, 5))
    taken: list[np.ndarray] = []
    job = SceneJob(
        range(first, last), RowNumbers(piece, late), lambda rows: taken.append(rows.labels)
    )
    for index, window in enumerate(plan):
        # windows without data never come
        if index in lines and window.row < last and window.row + 6 > first:
            job.add(Place(0, index, window, True), None)
    job.finish()
    found = [int(row[0]) for labels in taken for row in labels]
    assert found == list(range(first, last))


@given(data=st.data(), seed=st.integers(0, 99))
def test_rows_meet_their_own_gaps(data, seed) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random((HEIGHT, WIDTH)) < rng.choice([0.0, 0.5, 1.0], (HEIGHT, 1))
    queue, row = ValidQueue(), 0
    while row < HEIGHT:
        count = data.draw(st.integers(1, HEIGHT - row))
        part = valid[row : row + count]
        told = part if part.any() and not part.all() else bool(part.all())
        queue.push(ValidRows(0, row, count, told))
        row += count
    found, row = np.ones_like(valid), 0
    while row < HEIGHT:
        end = data.draw(st.integers(row + 1, HEIGHT))
        for invalid, first, last in queue.pop(row, end):
            found[first:last] &= ~invalid
        row = end
    np.testing.assert_array_equal(found, valid)
