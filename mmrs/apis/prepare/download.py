"""Fetch files whose owner gives them out to scripts, and check what arrived."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrs.apis.progress import progress_bar
from mmrs.errors import DataError, OutputError

_CHUNK = 1 << 20
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Attributes:
        url: Where.
        name: What it is called here.
        md5: Checksum in hexadecimal that its owner publishes; None where there is none.
    """

    url: str
    name: str
    md5: str | None = None


def download(files: Sequence[Download], folder: str | Path) -> list[Path]:
    """Fetch files that are not there yet; an interrupted one goes on where it stopped.

    Args:
        files: What to fetch.
        folder: Where to; made when needed.

    Returns:
        The files.

    Raises:
        DataError: The place cannot be reached, or what arrived has another checksum.
        OutputError: The disk is full.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [_one(file, folder) for file in files]


def _one(file: Download, folder: Path) -> Path:
    target, part = folder / file.name, folder / f"{file.name}.part"
    if target.is_file():
        _check(target, file)
        return target
    try:
        _fetch(file, part)
    except urllib.error.URLError as error:
        raise DataError(
            f"cannot be fetched ({error.reason})",
            where=file.url,
            fix=f"try again, it goes on; or fetch it by hand into {folder}",
        ) from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise DataError(
            f"the connection broke ({error or type(error).__name__})",
            where=file.url,
            fix="run the same command again, it goes on where it stopped",
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=part, fix="free space on the disk"
        ) from error
    try:
        _check(part, file)
    except DataError:
        part.unlink()  # going on from wrong bytes would never end well
        raise
    os.replace(part, target)
    return target


def _fetch(file: Download, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(file.url)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to fetch
            return
        raise
    with response, progress_bar(file.name) as show:
        resumed = response.status == 206
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise OutputError(
                f"{(total - have) / 2**30:.1f} GiB are needed",
                where=part,
                fix="free space on the disk, or name another folder",
            )
        with open(part, "ab" if resumed else "wb") as out:
            while chunk := response.read(_CHUNK):
                out.write(chunk)
                have += len(chunk)
                show(have, total or have, f"{have / 2**20:.0f} MB")
        if total is not None and have < total:
            raise http.client.IncompleteRead(b"", total - have)


def _check(path: Path, file: Download) -> None:
    if file.md5 is None:
        return
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != file.md5:
        raise DataError(
            f"has the MD5 {found}, and its owner publishes {file.md5}",
            where=path,
            fix="remove it and fetch it again",
        )
