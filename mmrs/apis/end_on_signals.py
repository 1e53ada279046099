"""SIGTERM and Ctrl-C end a command in order, and soon."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
    timers: list[threading.Timer] = []

    def end(number: int, _: object) -> None:
        status = STATUS[signal.Signals(number)]
        first = time.monotonic()

        def end_now(again: int, _: object) -> None:
            # torchrun sends more of them for one Ctrl-C; a user who means it takes longer
            if again == signal.SIGINT and time.monotonic() > first + TWICE_SECONDS:
                os._exit(status)

        for other in before:
            signal.signal(other, end_now)
        timers.append(threading.Timer(GRACE_SECONDS, os._exit, [status]))
        timers[0].daemon = True
        timers[0].start()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        # by hand: `print` fails where the signal came in the middle of another one
        os.write(2, b"terminated\n")
        sys.exit(status)

    # a shell's background jobs ignore Ctrl-C, and go on doing so
    asked = [number for number in STATUS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in asked}
    for number in asked:
        signal.signal(number, end)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
