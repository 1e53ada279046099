"""Files of a folder, a zip or a tar, archives inside archives included, read without trust.

An archive is surveyed whole before anything of it is written: names that lead elsewhere, links and
devices are refused, and so is more data than the limits, the compression ratio or the disk allow.
Extracted files get names of ours, never the archive's, so that no name can lead anywhere.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp, mkstemp
from typing import IO

from mmrs.errors import DataError, OutputError
from mmrs.geo.archive_checks import (
    ArchiveLimits,
    Tally,
    check_name,
    check_twice,
    reading,
    refuse,
    tidy_name,
)

_CHUNK = 1 << 20
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tbz2|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_LITTER = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")


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
    """

    name: str
    size: int
    stamp: str
    path: Path
    member: str | None = None
    where: str = ""

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
    return _ARCHIVE.search(name) is not None


def survey(
    source: str | Path,
    scratch: str | Path,
    *,
    limits: ArchiveLimits | None = None,
    open_archive: Callable[[str], bool] | None = None,
) -> list[SourceFile]:
    """List the files of a folder or an archive, and those of the archives inside.

    Members of a zip stay in it until `fetch`. A tar, which has no index, and a zip inside another
    archive are unpacked to ``scratch``, after they have been checked.

    Args:
        source: A folder, a zip or a tar.
        scratch: A folder for what has to be unpacked; made when needed, the caller removes it.
        limits: What the archives may grow to.
        open_archive: Tells by its name whether an archive found inside is to be opened; None
            opens all. One left closed is not listed either.

    Returns:
        The files, sorted by name; litter of file managers is left out.

    Raises:
        DataError: There is no source, an archive is damaged, leads elsewhere or is too big.
        OutputError: The disk has no room for what must be unpacked.
    """
    source = Path(source)
    if not source.exists():
        raise DataError("no such file or folder", where=source, fix="name what was downloaded")
    if source.is_file() and not is_archive(source.name):
        raise DataError(
            f"{source.suffix or 'this'} is no zip or tar", where=source, fix="name an archive or "
            "the folder that holds it",
        )  # fmt: skip
    scan = _Survey(Path(scratch), limits or ArchiveLimits(), open_archive or (lambda name: True))
    if source.is_file():
        scan.archive(source, "", str(source))
    else:
        scan.folder(source)
    return sorted(scan.files, key=lambda file: file.name)


@contextmanager
def fetch(file: SourceFile, scratch: str | Path) -> Iterator[Path]:
    """Give a path under which a file can be read while the block runs.

    Args:
        file: What `survey` found.
        scratch: Where a member of a zip is unpacked, under a name of ours with its ending; it is
            removed when the block ends.

    Raises:
        DataError: The member is damaged or longer than the archive says.
        OutputError: It cannot be written.
    """
    if file.member is None:
        yield file.path
        return
    target = _fresh(Path(scratch), file.suffix)
    try:
        where = file.where
        with reading(where):
            archive = _open_zip(str(file.path), os.stat(file.path).st_mtime_ns)
            stream = archive.open(file.member)
        with stream:
            _copy(stream, target, file.size, where)
        yield target
    finally:
        target.unlink(missing_ok=True)


class _Survey:
    """The files found so far, and what the archives among them add up to."""

    def __init__(
        self, scratch: Path, limits: ArchiveLimits, open_archive: Callable[[str], bool]
    ) -> None:
        self.scratch = scratch
        self.tally = Tally(limits)
        self.open_archive = open_archive
        self.files: list[SourceFile] = []

    def folder(self, root: Path) -> None:
        for parent, folders, names in os.walk(root):
            # what this program leaves beside its results is no source
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(parent, name)
                self.found(path, path.relative_to(root).as_posix())

    def found(self, path: Path, name: str) -> None:
        if _LITTER.search(name) or not path.is_file():
            return
        if is_archive(name):
            if self.open_archive(name):
                self.archive(path, f"{name}/", str(path))
            return
        status = path.stat()
        stamp = f"mtime {status.st_mtime_ns}"
        self.files.append(SourceFile(name, status.st_size, stamp, path, where=str(path)))

    def archive(self, path: Path, prefix: str, where: str) -> None:
        with reading(where):
            is_zip = zipfile.is_zipfile(path)
            is_tar = not is_zip and tarfile.is_tarfile(path)
        if is_zip:
            self.zip(path, prefix, where)
        elif is_tar:
            self.tar(path, prefix, where)
        else:
            raise DataError(
                f"neither a zip nor a tar; it begins with {_head(path)}",
                where=where,
                fix="the download is not complete: fetch it again",
            )

    def zip(self, path: Path, prefix: str, where: str) -> None:
        with reading(where):
            members = _open_zip(str(path), os.stat(path).st_mtime_ns).infolist()
        for member in members:
            check_name(member.filename, where)
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                refuse(f"member {member.filename} is a link or a device", where)
            if member.flag_bits & 1:
                raise DataError("is encrypted", where=where, fix="unpack it with its password")
        files = [member for member in members if not member.is_dir()]
        self.tally.count(path, where, ((file.filename, file.file_size) for file in files))
        check_twice([tidy_name(file.filename) for file in files], where)
        for member in files:
            name = prefix + tidy_name(member.filename)
            if _LITTER.search(name):
                continue
            inside = f"{where}/{tidy_name(member.filename)}"
            if not is_archive(name):
                stamp = f"crc32 {member.CRC:08x}"
                self.files.append(
                    SourceFile(name, member.file_size, stamp, path, member.filename, inside)
                )
            elif self.open_archive(name):
                self.room(member.file_size, inside)
                target = _fresh(self.scratch, ".zip")
                with (
                    reading(inside),
                    _open_zip(str(path), os.stat(path).st_mtime_ns).open(member) as stream,
                ):
                    _copy(stream, target, member.file_size, inside)
                self.archive(target, f"{name}/", inside)

    def tar(self, path: Path, prefix: str, where: str) -> None:
        """Unpack a tar: once through to check it, once to write it."""

        def sizes(archive: tarfile.TarFile) -> Iterator[tuple[str, int]]:
            for member in archive:
                check_name(member.name, where)
                if not (member.isfile() or member.isdir()) or member.sparse:
                    refuse(f"member {member.name} is a link or a device", where)
                if member.isfile():
                    names.append(tidy_name(member.name))
                    yield member.name, member.size

        names: list[str] = []
        before = self.tally.bytes
        with reading(where), tarfile.open(path) as archive:
            self.tally.count(path, where, sizes(archive))
        check_twice(names, where)
        self.room(self.tally.bytes - before, where)
        self.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(dir=self.scratch))
        with reading(where), tarfile.open(path) as archive:
            for index, member in enumerate(archive):
                name = prefix + tidy_name(member.name)
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None or _LITTER.search(name):
                    continue
                ending = _ARCHIVE.search(name) or re.search(r"\.\w{1,8}$", name)
                target = folder / f"{index}{ending.group().lower() if ending else ''}"
                inside = f"{where}/{tidy_name(member.name)}"
                checksum = _copy(stream, target, member.size, inside)
                if not is_archive(name):
                    stamp = f"crc32 {checksum:08x}"
                    self.files.append(SourceFile(name, member.size, stamp, target, where=inside))
                elif self.open_archive(name):
                    self.archive(target, f"{name}/", inside)

    def room(self, size: int, where: str) -> None:
        """Refuse before writing what the disk cannot hold."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.scratch).free
        if size > free:
            raise OutputError(
                f"unpacking {where} needs {size / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are "
                "free",
                where=self.scratch,
                fix="free space, or name an OUT on another disk",
            )


@lru_cache(maxsize=8)
def _open_zip(path: str, changed_ns: int) -> zipfile.ZipFile:
    # opening reads the whole index; a worker asks the same few archives again and again
    del changed_ns  # part of the key only: a replaced archive is opened anew
    return zipfile.ZipFile(path)


def _copy(stream: IO[bytes], target: Path, size: int, where: str) -> int:
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


def _fresh(scratch: Path, suffix: str) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    handle, path = mkstemp(dir=scratch, suffix=suffix if re.fullmatch(r"\.\w{1,8}", suffix) else "")
    os.close(handle)
    return Path(path)


def _head(path: Path) -> str:
    with open(path, "rb") as file:
        return repr(file.read(12))[1:]
