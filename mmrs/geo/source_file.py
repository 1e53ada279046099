"""One file of a source: where it lies, plain or inside a zip, and how its bytes are got at."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkstemp
from typing import IO

from mmrs.errors import DataError, OutputError
from mmrs.geo.archive_checks import reading, refuse

ARCHIVE = re.compile(r"\.(zip|tar|tgz|tbz2|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set, plain or inside a zip.

    Attributes:
        name: Its path below the source, archives counting as folders: ``a.zip/img/1.png``.
        size: Bytes.
        stamp: Changes with the content: checksum of the archive, or time of the last change.
        path: The file, or the zip that holds it.
        member: Its name inside that zip; None for a plain file.
        where: What messages call it: its path, archives counting as folders.
        beside: (ending, name inside the zip) of files that say where it lies: world files and
            GDAL's own.
    """

    name: str
    size: int
    stamp: str
    path: Path
    member: str | None = None
    where: str = ""
    beside: tuple[tuple[str, str], ...] = ()

    @property
    def basename(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part of the name without its ending."""
        return self.basename.rpartition(".")[0] or self.basename

    @property
    def suffix(self) -> str:
        """Its ending with the dot, lower case."""
        head, dot, tail = self.basename.rpartition(".")
        return (dot + tail).lower() if head else ""

    @property
    def folder(self) -> str:
        """The name without its last part."""
        return self.name.rpartition("/")[0]


def is_archive(name: str) -> bool:
    """Whether a name ends as a zip or a tar does."""
    return ARCHIVE.search(name) is not None


@contextmanager
def fetch(file: SourceFile, scratch: str | Path) -> Iterator[Path]:
    """Give a path under which a file can be read while the block runs.

    Args:
        file: What `survey` found.
        scratch: Where a member of a zip is unpacked, under a name of ours with its ending, and
            what lies ``beside`` it next to it; removed when the block ends.

    Raises:
        DataError: The member is damaged or longer than the archive says.
        OutputError: It cannot be written.
    """
    if file.member is None:
        yield file.path
        return
    target = fresh_path(Path(scratch), file.suffix)
    made = [target]
    try:
        where = file.where
        with reading(where):
            archive = open_zip(str(file.path), os.stat(file.path).st_mtime_ns)
            stream = archive.open(file.member)
        with stream:
            copy_stream(stream, target, file.size, where)
        for ending, member in file.beside:
            made.append(target.with_name(target.name.removesuffix(file.suffix) + ending))
            with reading(where):
                stream = archive.open(member)
            with stream:
                copy_stream(stream, made[-1], archive.getinfo(member).file_size, where)
        yield target
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def side_endings(suffix: str) -> tuple[str, ...]:
    """Endings, in place of its own, of files that say where a raster lies.

    Args:
        suffix: Its own ending with the dot, lower case.

    Source: https://gdal.org/en/stable/drivers/raster/wld.html: ``.tfw``, ``.tifw`` or ``.wld``
    beside a ``.tif``, the first made of first and last letter; and ``.tif.aux.xml``.
    """
    short = f".{suffix[1]}{suffix[-1]}w" if len(suffix) > 2 else ""
    return tuple(dict.fromkeys((short, f"{suffix}w", ".wld", f"{suffix}.aux.xml")))


@lru_cache(maxsize=8)
def open_zip(path: str, changed_ns: int) -> zipfile.ZipFile:
    """A zip, opened once for all of its members.

    Args:
        path: The file.
        changed_ns: Time of its last change.
    """
    # opening reads the whole index; a worker asks the same few archives again and again
    del changed_ns  # part of the key only: a replaced archive is opened anew
    return zipfile.ZipFile(path)


def copy_stream(stream: IO[bytes], target: Path, size: int, where: str) -> int:
    """Write a stream that must hold exactly ``size`` bytes; an error removes what was written.

    Returns:
        Its CRC-32.
    """
    written, checksum = 0, 0
    try:
        with open(target, "wb") as out:
            while True:
                with reading(where):
                    chunk = stream.read(_CHUNK)
                if not chunk:
                    break
                written += len(chunk)
                checksum = zlib.crc32(chunk, checksum)
                if written > size:
                    refuse(f"holds more than the {size} bytes that its index says", where)
                out.write(chunk)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise OutputError(
            f"cannot be written ({error.strerror})", where=target, fix="free space on the disk"
        ) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if written != size:
        target.unlink(missing_ok=True)
        raise DataError(
            f"ends after {written} of {size} bytes",
            where=where,
            fix="the archive is damaged; fetch it again",
        )
    return checksum


def fresh_path(scratch: Path, suffix: str) -> Path:
    """An empty new file in a folder, which is made when needed.

    Args:
        scratch: The folder.
        suffix: Its ending, left out where it is a strange one.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    handle, path = mkstemp(dir=scratch, suffix=suffix if re.fullmatch(r"\.\w{1,8}", suffix) else "")
    os.close(handle)
    return Path(path)
