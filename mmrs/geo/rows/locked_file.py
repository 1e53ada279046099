"""A file that one process at a time may write."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mmrs.errors import OutputError
from mmrs.geo.disk_space import write_error

# what systems say of a lock that another process has; shares of Windows say EACCES
_HELD = (BlockingIOError, PermissionError)


def open_locked(path: Path, target: Path) -> int:
    """Open a file to read and write, made where it is missing, for this process alone.

    The lock goes when the file is closed, and with the process, however it ends.

    Args:
        path: The file.
        target: What it stands for, for the messages.

    Returns:
        The file's descriptor.

    Raises:
        OutputError: Another process has it, or it cannot be opened.
    """
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise write_error(target, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except _HELD as error:
            os.close(file)
            raise OutputError(
                f"another process is writing it (it holds {path.name})",
                where=target,
                fix="wait for it or end it, or choose another output",
            ) from error
        except OSError:
            return file  # a file system without locks: one writer a file is then up to the user
        if _is_at(file, path):
            return file
        os.close(file)


def is_held(path: Path) -> bool:
    """Whether a process has a file open by `open_locked`; False where there are no locks."""
    try:
        # to write: over NFS a lock is refused to who may only read
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except _HELD:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def read_at(file: int, begin: int, length: int) -> bytes:
    """So many bytes of an open file from ``begin`` on; fewer where it ends."""
    parts = []
    while length > 0:
        part = os.pread(file, min(length, 2**30), begin)
        if not part:
            break
        parts.append(part)
        begin, length = begin + len(part), length - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _is_at(file: int, path: Path) -> bool:
    # whoever held it may have deleted it meanwhile, and then it is no file's content any more
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
