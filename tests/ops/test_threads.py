"""map_in_threads: the order, the threads, and what PyTorch does inside."""

import threading

import pytest
import torch

from mmrs.ops.threads import map_in_threads


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_keep_their_order(threads):
    assert map_in_threads(lambda x: x * x, range(20)) == [x * x for x in range(20)]
    assert map_in_threads(str, []) == []


def test_each_part_has_one_pytorch_thread_and_the_caller_keeps_its_number(threads):
    seen = map_in_threads(lambda _: torch.get_num_threads(), range(8))
    assert seen == [1] * 8
    assert torch.get_num_threads() == threads
    other: list[int] = []
    thread = threading.Thread(target=lambda: other.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert other == [threads]


def test_parts_run_at_once():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        meet = threading.Barrier(2)
        # each waits for the other: in one thread this would time out
        map_in_threads(lambda _: meet.wait(timeout=30), range(2))
    finally:
        torch.set_num_threads(before)


def test_a_call_inside_a_part_does_not_wait_for_itself(threads):
    out = map_in_threads(lambda x: map_in_threads(lambda y: (x, y), range(2)), range(6))
    assert out == [[(x, 0), (x, 1)] for x in range(6)]


def test_an_error_of_a_part_reaches_the_caller(threads):
    with pytest.raises(ZeroDivisionError):
        map_in_threads(lambda x: 1 // x, [1, 0, 2])
