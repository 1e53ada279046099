"""Files that are there whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from mmrs.errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all.

    It is not flushed to the disk one by one: the folder is published only after all are.

    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.stem[:60]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=path, fix="free space on the disk"
        ) from error
    finally:
        with suppress(OSError):  # where the folder is none, there is nothing to remove either
            temporary.unlink()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
