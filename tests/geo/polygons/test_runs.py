from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mmrs.geo.polygons.runs import find_runs, join, stretches
from tests.geo.class_maps import label_maps


@given(label_maps())
@settings(max_examples=50, deadline=None)
def test_runs_cover_every_pixel_and_end_where_labels_change(labels) -> None:
    runs = find_runs(labels)
    assert runs.lengths.sum() == labels.size
    np.testing.assert_array_equal(runs.labels[runs.ids], labels)
    same_run = runs.ids[:, 1:] == runs.ids[:, :-1]
    np.testing.assert_array_equal(same_run, labels[:, 1:] == labels[:, :-1])
    assert (runs.ids[1:, 0] > runs.ids[:-1, -1]).all()


@given(label_maps())
@settings(max_examples=50, deadline=None)
def test_stretches_tell_every_side_between_rows_once(labels) -> None:
    ids = find_runs(labels).ids
    above, below, lengths = stretches(ids)
    told = {}
    for a, b, length in zip(above, below, lengths, strict=True):
        told[a, b] = told.get((a, b), 0) + length
    expected = {}
    for pair in zip(ids[:-1].ravel(), ids[1:].ravel(), strict=True):
        expected[pair] = expected.get(pair, 0) + 1
    assert told == expected


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_groups_are_those_of_scipy(count, ties) -> None:
    ties = np.array([(a % count, b % count) for a, b in ties], dtype=np.int64).reshape(-1, 2)
    found = join(count, ties[:, 0], ties[:, 1])
    graph = coo_array((np.ones(len(ties)), (ties[:, 0], ties[:, 1])), shape=(count, count))
    _, groups = connected_components(graph, directed=False)
    for group in range(groups.max() + 1):
        members = np.flatnonzero(groups == group)
        assert set(found[members]) == {members[0]}


def test_a_long_chain_is_one_group() -> None:
    links = np.random.default_rng(0).permutation(9_999)
    assert not join(10_000, links, links + 1).any()


def test_teeth_that_one_row_joins_take_no_time() -> None:
    teeth = np.arange(50_000)
    begin = time.process_time()
    assert not join(50_001, teeth, np.full(50_000, 50_000)).any()
    assert time.process_time() - begin < 5  # it was a pass for each tooth, minutes
