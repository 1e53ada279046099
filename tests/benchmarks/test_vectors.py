"""The benchmark of polygons measures two ways to the same thing."""

from __future__ import annotations

import numpy as np
import shapely

from benchmarks.vectors import make_map, peer, streamed


def test_both_ways_give_the_same_polygons() -> None:
    labels = make_map(64, 4, 0.02)
    ours, theirs = streamed(labels), peer(labels)
    assert {shapely.normalize(p).wkb for p in shapely.simplify(ours, 0)} == {
        shapely.normalize(p).wkb for p in shapely.simplify(theirs, 0)
    }


def test_the_options_leave_fewer_points_and_polygons() -> None:
    labels = make_map(64, 4, 0.02)
    exact = streamed(labels)
    simple, sieved = streamed(labels, tolerance_px=1), streamed(labels, minimum_px=10)
    assert len(sieved) < len(exact) == len(simple)
    points = shapely.get_num_coordinates
    assert points(simple).sum() < points(exact).sum()


def test_noise_is_as_much_as_is_told() -> None:
    changed = np.mean(make_map(64, 4, 0.5) != make_map(64, 4, 0.0))
    assert 0.3 < changed < 0.45  # a quarter of the noise hits its own class
