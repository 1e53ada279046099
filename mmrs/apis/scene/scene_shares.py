"""Which process predicts what: whole scenes, and at most a strip of rows at each end of a share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mmrs.apis.scene.scene_stream import Scene

# scenes with a smaller part than this of a process's work are not cut: a cut costs a line of
# windows more, and the rows have to travel
WHOLE_BELOW = 0.1


@dataclass(frozen=True)
class Strip:
    """Rows of a scene that one process predicts.

    Attributes:
        scene: Which scene.
        rank: The process; that of a scene's first strip writes its files.
        rows: All rows of the scene, or some.
    """

    scene: int
    rank: int
    rows: range


def share_scenes(
    scenes: Sequence[Scene], finished: Collection[int], num_ranks: int, *, cut: bool = True
) -> list[list[Strip]]:
    """Share the windows of scenes in equal parts of consecutive windows.

    A cut lies at the first row of a line of windows; each side also computes the windows of the
    other that reach over it.

    Args:
        scenes: In their order.
        finished: Indices of those that nothing is left to do of.
        num_ranks: Number of processes.
        cut: Whether scenes may be cut.

    Returns:
        For each scene its strips, from the top down; none where it is finished.
    """
    windows = np.array([0 if i in finished else len(s.plan) for i, s in enumerate(scenes)])
    ends = np.concatenate([[0], np.cumsum(windows)])
    share = ends[-1] / num_ranks
    cuts: list[list[int]] = [[] for _ in scenes]  # of each scene: first rows of the next ranks
    first_rank = np.zeros(len(scenes), dtype=int)
    for rank in range(1, num_ranks):
        index = min(int(np.searchsorted(ends, rank * share, side="right")) - 1, len(scenes) - 1)
        if index < 0:
            continue
        inside = rank * share - ends[index]
        row = _cut_row(scenes[index], inside, whole=not cut or windows[index] < WHOLE_BELOW * share)
        if row >= scenes[index].plan.height:
            index, row = index + 1, 0
        if row:
            cuts[index].append(row)
            index += 1
        first_rank[index:] += 1
    return [
        [] if i in finished else _strips(i, scene, int(first_rank[i]), cuts[i])
        for i, scene in enumerate(scenes)
    ]


def _cut_row(scene: Scene, inside: float, *, whole: bool) -> int:
    """The row at which so many windows of a scene end, or one of its ends."""
    plan = scene.plan
    if whole:
        return 0 if inside < len(plan) / 2 else plan.height
    line = round(inside / len(plan.col_starts))
    return plan.row_starts[line] if line < len(plan.row_starts) else plan.height


def _strips(index: int, scene: Scene, rank: int, cuts: Sequence[int]) -> list[Strip]:
    starts, stops = [0, *cuts], [*cuts, scene.plan.height]
    return [
        Strip(index, rank + number, range(start, stop))
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
        if start < stop
    ]
