from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from mmrs.apis.scene.read_ahead import ReadAhead


def ahead(items: Iterator, depth: int = 2) -> ReadAhead:
    return ReadAhead(items, depth=depth, around=nullcontext)


def test_items_come_in_their_order() -> None:
    with ahead(iter(range(100))) as items:
        assert list(items) == list(range(100))


def test_an_error_of_the_thread_is_raised_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("boom")

    seen = []
    with ahead(failing()) as items, pytest.raises(KeyError, match="boom"):
        for item in items:
            seen.append(item)
    assert seen == [1]


def test_leaving_stops_an_endless_source_and_closes_it() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    with ahead(endless()) as items:
        next(iter(items))
    assert closed.is_set()
    assert threading.active_count() == before


def test_only_so_many_items_wait() -> None:
    made = []

    def source() -> Iterator[int]:
        for index in range(50):
            made.append(index)
            yield index

    with ahead(source(), depth=3) as items:
        taken = iter(items)
        next(taken)
        time.sleep(0.2)
        # one is taken, three wait, one is in the thread's hand
        assert len(made) <= 5


def test_a_depth_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be >= 1, got 0"):
        ahead(iter([]), depth=0)
