"""What tells a trained model from another, so that a resume never mixes two of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mmrs.errors import CheckpointError

_CHUNK = 1 << 22


def file_identity(path: str | Path) -> str:
    """Size and checksum of a file.

    Raises:
        CheckpointError: It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with Path(path).expanduser().open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise CheckpointError(
            error.strerror or "it cannot be read", where=path, fix="check the path"
        ) from error
    return f"{size} bytes, sha256 {digest.hexdigest()}"


def text_identity(text: str) -> str:
    """Checksum of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
