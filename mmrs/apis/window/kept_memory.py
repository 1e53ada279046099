"""Freed memory that the process keeps: networks on a CPU ask for the same sizes again and again."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, for the next request, instead of giving it back.

    By default glibc maps blocks of more than 32 MB from the system each time, and the system fills
    their pages with zeros one by one; activations of a batch are of that size.  On a virtual
    machine, where a page is dear, this took a third of a network's time.

    The process keeps the memory of its peak until it ends: for commands, not for libraries.

    Returns:
        Whether the C library understood it; others than glibc do not.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    kept = bool(mallopt(_M_TRIM_THRESHOLD, _MOST))
    # where the threshold cannot be that high: nothing is mapped at all
    return kept and bool(mallopt(_M_MMAP_THRESHOLD, _MOST) or mallopt(_M_MMAP_MAX, 0))
