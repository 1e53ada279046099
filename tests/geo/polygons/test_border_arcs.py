from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from mmrs.geo.polygons.border_arcs import border_arcs
from tests.geo.class_maps import NODATA, label_maps


def sides_of(arcs) -> list[tuple[int, int, int, int]]:
    """Every side of a pixel that the bent lines run along, sorted."""
    found = []
    for first, last in zip(arcs.first, arcs.last, strict=True):
        for point in range(first, last):
            row, col = int(arcs.rows[point]), int(arcs.cols[point])
            down, right = int(arcs.rows[point + 1]) - row, int(arcs.cols[point + 1]) - col
            steps = abs(down) + abs(right)
            assert down == 0 or right == 0
            for step in range(steps):
                a = (row + down * step // steps, col + right * step // steps)
                b = (row + down * (step + 1) // steps, col + right * (step + 1) // steps)
                found.append((*min(a, b), *max(a, b)))
    return sorted(found)


@given(label_maps(10))
@settings(max_examples=60, deadline=None)
def test_every_side_between_two_regions_is_on_a_line(labels) -> None:
    labels[labels == NODATA] = 4  # so that every border has a region on both hands
    height, width = labels.shape
    fixed = np.ones((height + 1, width + 1), dtype=bool)
    beside, below = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    degree = beside[1:].astype(int) + beside[:-1] + below[:, 1:] + below[:, :-1]
    fixed[1:-1, 1:-1] = degree > 2
    arcs = border_arcs(labels, fixed, outside=NODATA)
    inner = {(r, c + 1, r + 1, c + 1) for r, c in np.argwhere(beside)}
    inner |= {(r + 1, c, r + 1, c + 1) for r, c in np.argwhere(below)}
    along = sides_of(arcs)
    assert inner <= set(along)
    bent = arcs._replace(
        first=arcs.first[arcs.last > arcs.first + 1], last=arcs.last[arcs.last > arcs.first + 1]
    )
    own = [side for side in sides_of(bent) if side in inner]
    assert len(own) == len(set(own)), "a bent line is there once"


def test_lines_end_at_fixed_places_only() -> None:
    labels = np.zeros((6, 6), dtype=np.uint8)
    labels[2:5, 2:5] = 1
    labels[3, 3] = 2
    fixed = np.zeros((7, 7), dtype=bool)
    fixed[[0, -1]] = fixed[:, [0, -1]] = True
    fixed[2, 2] = True
    arcs = border_arcs(labels, fixed, outside=NODATA)
    ends = {(int(arcs.rows[i]), int(arcs.cols[i])) for i in [*arcs.first, *arcs.last]}
    # the ring round the 2 meets nothing: its highest place on the left stands for it
    assert ends == {(0, 0), (0, 6), (6, 0), (6, 6), (2, 2), (3, 3)}
