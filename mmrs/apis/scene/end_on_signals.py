"""SIGTERM and Ctrl-C end a command in order, and soon."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

# as a shell has it: 128 + the signal's number
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
TWICE_SECONDS = 1.0
GRACE_SECONDS = 10.0  # for what is in the middle of something; a killed run can be gone on with


@contextmanager
def end_on_signals() -> Iterator[None]:
    """Have SIGTERM and Ctrl-C leave the block by an exception, so that rows are kept.

    Where leaving takes too long, or at a second Ctrl-C, the process ends where it is: files appear
    whole or not at all whatever happens.  Exit status 143 or 130.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may ask for signals
        return

    def end(number: int, _: object) -> None:
        for other in before:
            signal.signal(other, lambda *_: None)  # what comes now, the watch sees
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        # by hand: `print` fails where the signal came in the middle of another one
        os.write(2, b"terminated\n")
        sys.exit(STATUS[signal.Signals(number)])

    # a shell's background jobs ignore Ctrl-C, and go on doing so
    asked = [number for number in STATUS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in asked}
    with _watch():
        for number in asked:
            signal.signal(number, end)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _watch() -> Iterator[None]:
    """A thread that is told of signals at once, and ends the process where the main one does not.

    Python's own handlers run when the main thread comes back from what it is in, and a batch on a
    CPU may take longer than anyone waits.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    thread = threading.Thread(target=_end_late, args=[reader], name="watch signals", daemon=True)
    thread.start()
    _protect_from_children()
    earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        os.close(writer)
        thread.join()
        os.close(reader)


@cache
def _protect_from_children() -> None:
    # a forked process would write its own signals to the pipe
    os.register_at_fork(after_in_child=_forget_pipe)


def _forget_pipe() -> None:
    with suppress(ValueError):  # no main thread
        signal.set_wakeup_fd(-1)


def _end_late(reader: int) -> None:
    first, status = None, 0
    while True:
        left = None if first is None else max(0.0, first + GRACE_SECONDS - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            os._exit(status)
        numbers = os.read(reader, 64)
        if not numbers:
            return  # the block was left
        for number in map(signal.Signals, numbers):
            if number not in STATUS:
                continue
            if first is None:
                first, status = time.monotonic(), STATUS[number]
            # torchrun sends more of them for one Ctrl-C; a user who means it takes longer
            elif number == signal.SIGINT and time.monotonic() > first + TWICE_SECONDS:
                os._exit(status)
