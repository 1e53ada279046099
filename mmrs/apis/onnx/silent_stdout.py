"""Standard output thrown away, also what libraries written in C++ print."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STDOUT = 1


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Throw away what the process prints to standard output, whoever prints it.

    For a few seconds of a library that prints what an exception says better; threads beside are
    silenced with it. Standard error is left alone.
    """
    with suppress(AttributeError, OSError, ValueError):  # none, or closed
        sys.stdout.flush()
    try:
        kept = os.dup(_STDOUT)
    except OSError:  # there is none
        yield
        return
    try:
        _point_to(os.open(os.devnull, os.O_WRONLY))
        yield
    finally:
        with suppress(AttributeError, OSError):  # the C library's own buffers
            ctypes.CDLL(None).fflush(None)
        _point_to(kept)


def _point_to(handle: int) -> None:
    os.dup2(handle, _STDOUT)
    os.close(handle)
