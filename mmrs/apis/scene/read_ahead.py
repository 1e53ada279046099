"""Reading on a thread of its own, ahead of what is computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """An iterator that is run on a thread; use it in a ``with`` block.

    What the thread raises is raised here, where the items are taken; leaving the block stops the
    thread, even in the middle.

    Args:
        items: Run on the thread alone.
        depth: Items that may wait; the thread rests when there are so many.
        around: A block that the thread runs in (GDAL's settings are of a thread).
    """

    def __init__(
        self,
        items: Iterator[T],
        *,
        depth: int,
        around: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be >= 1, got {depth}")
        self._items = items
        self._around = around
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            # make room for an item that it is about to put
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(0.05)

    def __iter__(self) -> Iterator[T]:
        while True:
            kind, value = self._queue.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value

    def _run(self) -> None:
        try:
            with self._around():
                for item in self._items:
                    self._queue.put(("item", item))
                    if self._stop.is_set():
                        break
        except BaseException as error:  # raised again by the other thread
            self._queue.put(("error", error))
        else:
            self._queue.put(("end", None))
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
