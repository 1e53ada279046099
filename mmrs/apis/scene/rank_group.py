"""Processes on one machine or many that work together, and end together with the first error.

All that has to be known of each other goes through a key-value store that every process asks again
and again; nobody waits for a message that may never come.  Only rows travel between two processes
directly (gloo), after both have said that they are ready.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from mmrs.apis.cli import error_line, find_mmrs_error
from mmrs.errors import MmrsError

BEAT_SECONDS = 0.5
LOST_SECONDS = 15.0  # without a sign of life
_PIECE = 2**20  # characters: a store takes 8 MB at a time
LEAVE_SECONDS = 12.0  # for the files to be closed, once an error is known

Progress = Callable[[int, int], None]


class RankError(MmrsError):
    """Another process failed; the line is its own."""


class RankGroup:
    """What a process knows of the others; use it in a ``with`` block.

    A block that ends with an error ends all processes with exit status 1, after the first process
    has printed the first error that any of them met.

    Args:
        store: Of PyTorch, shared by all.
        rank: Number of this process.
        size: How many there are.

    Attributes:
        rank: As given.
        size: As given.
        progress: Shown by the first process: what all have done, and all there is.
        planned: All there is, as far as one knows before the others have told.
    """

    def __init__(self, store: Any, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.progress: Progress | None = None
        self.planned = 0
        self._store = store
        self._mine = (0, 0)
        self._error: str | None = None
        self._stop = threading.Event()
        self._seen: dict[int, tuple[str, float]] = {}
        self._thread = threading.Thread(target=self._watch, name="watch ranks", daemon=True)

    def __enter__(self) -> RankGroup:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._leave()
            except MmrsError as late:
                self._end_with(late)
        else:
            self._end_with(error)
        self._stop.set()

    # -- what is told ------------------------------------------------------------------------

    def put(self, key: str, value: str) -> None:
        """Tell all a value, once for each key.

        Raises:
            RankError: The store, and with it the first process, is gone.
        """
        first, *others = [value[i : i + _PIECE] for i in range(0, max(1, len(value)), _PIECE)]
        for number, piece in enumerate(others):
            self._set(f"{key}/{number}", piece)
        self._set(key, f"{len(others)} {first}")

    def get(self, key: str) -> str:
        """Wait for a value.

        Raises:
            RankError: A process failed meanwhile, or is lost.
        """
        pause = 0.002
        while not self._ask(lambda: self._store.check([key])):
            self.check()
            self._show()
            time.sleep(pause)
            pause = min(1.5 * pause, 0.2)  # all ask one store, some for hours
        count, _, first = self._ask(lambda: self._store.get(key)).decode().partition(" ")
        return first + "".join(self._piece(f"{key}/{number}") for number in range(int(count)))

    def _piece(self, key: str) -> str:
        return str(self._ask(lambda: self._store.get(key)).decode())

    def _set(self, key: str, value: str) -> None:
        self._ask(lambda: self._store.set(key, value))

    def check(self) -> None:
        """Raise where a process failed or is lost.

        Raises:
            RankError: With its error.
        """
        if self._error is not None:
            raise RankError(self._error)

    def report(self, done: int, total: int) -> None:
        """Tell how far this process is; called often.

        Raises:
            RankError: As `check`.
        """
        self._mine = (done, total)
        self.check()
        self._show()

    # -- rows --------------------------------------------------------------------------------

    def send(self, content: bytes | None, to: int) -> None:
        """Send bytes to a process that receives; None ends a series.

        Raises:
            RankError: It is lost.
        """
        import torch
        from torch import distributed

        length = torch.tensor([-1 if content is None else len(content)])
        with _told_as_lost(to):
            distributed.send(length, to)
            if content:
                distributed.send(torch.frombuffer(bytearray(content), dtype=torch.uint8), to)

    def receive(self, sender: int) -> Iterator[bytes]:
        """The series of bytes that a process sends.

        Raises:
            RankError: It is lost.
        """
        import torch
        from torch import distributed

        while True:
            length = torch.zeros(1, dtype=torch.int64)
            with _told_as_lost(sender):
                distributed.recv(length, sender)
                if int(length) < 0:
                    return
                content = torch.empty(int(length), dtype=torch.uint8)
                if len(content):
                    distributed.recv(content, sender)
            yield content.numpy().tobytes()

    # -- the end -----------------------------------------------------------------------------

    def _leave(self) -> None:
        self.put(f"done/{self.rank}", "")
        if self.rank == 0:
            for rank in range(1, self.size):
                self.get(f"done/{rank}")
            self._show(all_done=True)
            self.put("bye", "")
            self._wait_until_gone(LEAVE_SECONDS)
        else:
            self.get("bye")
            self.put(f"gone/{self.rank}", "")

    def _wait_until_gone(self, seconds: float) -> None:
        """Let the others go first: the store may live in this process."""
        deadline = time.monotonic() + seconds
        for rank in range(1, self.size):
            while not self._store.check([f"gone/{rank}"]) and time.monotonic() < deadline:
                time.sleep(0.01)

    def _end_with(self, error: BaseException) -> None:
        """Have the first process print the first error, and leave with a status."""
        asked = isinstance(error, SystemExit | KeyboardInterrupt)
        line = f"process {self.rank} was ended" if asked else _line(error, self.rank)
        if "--debug" in sys.argv:
            traceback.print_exception(error)
        try:
            first = self._first_error(line)
        except Exception:  # the store is gone
            if self.rank == 1:
                print(f"error: {line}", file=sys.stderr)
            first = None
        if first is not None and self.rank == 0:
            if first != line or not asked:
                print(f"error: {first}", file=sys.stderr, flush=True)
            self._store.set("told", "")
            self._stop.set()
            self._wait_until_gone(2.0)
        elif first is not None:
            if not asked:
                self._wait_until_told()
            self._stop.set()
            with suppress(Exception):
                self._store.set(f"gone/{self.rank}", "")
        if isinstance(error, SystemExit):
            raise error
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)

    def _first_error(self, line: str) -> str:
        self._store.compare_set("error", "", line)
        return str(self._store.get("error").decode())

    def _wait_until_told(self) -> None:
        # whoever started the processes may end the first one as soon as another has gone
        deadline = time.monotonic() + LEAVE_SECONDS
        with suppress(Exception):
            while not self._store.check(["told"]) and time.monotonic() < deadline:
                time.sleep(0.05)

    # -- the watch ---------------------------------------------------------------------------

    def _watch(self) -> None:
        """On a thread: give signs of life, look for those of others and for errors."""
        count = 0
        while not self._stop.wait(BEAT_SECONDS):
            count += 1
            try:
                self._store.set(f"beat/{self.rank}", f"{count} {self._mine[0]} {self._mine[1]}")
                self._look()
            except Exception:
                self._error = "process 0 is lost: nothing is heard of it any more"
            if self._error is not None:
                self._leave_at_last()
                return

    def _look(self) -> None:
        for rank in range(self.size) if self.rank == 0 else (0,):
            key = f"beat/{rank}"
            value = self._store.get(key).decode() if self._store.check([key]) else ""
            if rank not in self._seen or self._seen[rank][0] != value:
                self._seen[rank] = (value, time.monotonic())
            elif time.monotonic() - self._seen[rank][1] > LOST_SECONDS:
                # those that are done have gone
                if not self._store.check([f"done/{rank}"]):
                    self._error = self._first_error(f"process {rank} is lost: no sign of life")
        if self._store.check(["error"]):
            self._error = self._store.get("error").decode()

    def _leave_at_last(self) -> None:
        """End this process where the main thread does not, waiting for something."""
        if self._stop.wait(LEAVE_SECONDS):
            return
        if self.rank == 0:
            print(f"error: {self._error}", file=sys.stderr, flush=True)
        os._exit(1)

    def _show(self, *, all_done: bool = False) -> None:
        if self.progress is None:
            return
        others = [
            seen for rank, (seen, _) in list(self._seen.items()) if rank != self.rank and seen
        ]
        numbers = [self._mine, *((int(a), int(b)) for _, a, b in (seen.split() for seen in others))]
        total = max(self.planned, sum(b for _, b in numbers))
        if total:
            self.progress(total if all_done else sum(a for a, _ in numbers), total)

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            raise RankError("process 0 is lost: nothing is heard of it any more") from error


@contextmanager
def _told_as_lost(rank: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankError(f"process {rank} is lost ({error_line(error)[:200]})") from error


def _line(error: BaseException, rank: int) -> str:
    known = find_mmrs_error(error)
    if known is not None:
        return error_line(known)
    return f"internal error in process {rank}: {type(error).__name__}: {error_line(error)}"
