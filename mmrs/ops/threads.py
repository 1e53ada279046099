"""A pool of threads for work that comes in independent parts: planes, images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``[function(item) for item in items]`` on ``torch.get_num_threads()`` threads.

    PyTorch computes with one thread inside each of them: no operation waits for its slowest part
    or leaves a thread spinning beside the others.  A call from inside such a thread runs there.

    Args:
        function: lets go of the interpreter lock most of the time, as PyTorch, NumPy and OpenCV do.
        items: the parts, about equally long.

    Returns:
        The results in the order of ``items``.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [function(item) for item in items]
    return list(_pool(os.getpid(), threads).map(function, items))


@lru_cache(maxsize=1)
def _pool(process_id: int, threads: int) -> ThreadPoolExecutor:
    """One pool per process: threads do not survive a fork, so the process id is a key."""
    del process_id
    all_started = Barrier(threads)

    def start() -> None:
        torch.get_num_threads()  # its first use in a thread would overrule the next line
        torch.set_num_threads(1)
        all_started.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="mmrs", initializer=start)
    list(pool.map(abs, range(threads)))  # a thread starts with its first task
    # each thread keeps the number it was given; threads yet to come take the last one given
    torch.set_num_threads(threads)
    return pool
