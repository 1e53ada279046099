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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

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
from mmrs.geo.source_file import (
    ARCHIVE,
    SourceFile,
    copy_stream,
    fresh_path,
    is_archive,
    open_zip,
    side_endings,
)

_ENDING = re.compile(r"(\.\w{1,8})?\.aux\.xml$|\.\w{1,8}$", re.IGNORECASE)
_LITTER = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")


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
        for parent, folders, names in os.walk(root, followlinks=True):
            # what this program leaves beside its results is no source
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for folder in (Path(parent, name) for name in folders):
                if folder.is_symlink():
                    self._check_link(folder, root)
            for name in sorted(names):
                path = Path(parent, name)
                self.found(path, path.relative_to(root).as_posix())

    def _check_link(self, link: Path, root: Path) -> None:
        """Refuse a link to a folder above itself, which would be walked for ever."""
        target = link.resolve()
        above = [parent for parent in link.parents if parent.is_relative_to(root)]
        if any(parent.resolve().is_relative_to(target) for parent in above):
            raise DataError(
                f"is a link to {target}, which it lies in", where=link, fix="take it away"
            )

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
            # in this order: a tar whose last member is a zip ends as a zip does
            is_tar = tarfile.is_tarfile(path)
            is_zip = not is_tar and zipfile.is_zipfile(path)
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
            members = open_zip(str(path), os.stat(path).st_mtime_ns).infolist()
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
        by_name = {tidy_name(file.filename).lower(): file.filename for file in files}
        for member in files:
            name = prefix + tidy_name(member.filename)
            if _LITTER.search(name):
                continue
            inside = f"{where}/{tidy_name(member.filename)}"
            if not is_archive(name):
                stamp = f"crc32 {member.CRC:08x}"
                file = SourceFile(name, member.file_size, stamp, path, member.filename, inside)
                self.files.append(replace(file, beside=_beside(file, member.filename, by_name)))
            elif self.open_archive(name):
                self.room(member.file_size, inside)
                target = fresh_path(self.scratch, ".zip")
                with (
                    reading(inside),
                    open_zip(str(path), os.stat(path).st_mtime_ns).open(member) as stream,
                ):
                    copy_stream(stream, target, member.file_size, inside)
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
        numbers: dict[str, int] = {}
        with reading(where), tarfile.open(path) as archive:
            for index, member in enumerate(archive):
                name = prefix + tidy_name(member.name)
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None or _LITTER.search(name):
                    continue
                ending = ARCHIVE.search(name) or _ENDING.search(name)
                # world files get the number of their raster, so that GDAL finds them
                stem = name[: ending.start()] if ending else name
                number = numbers.setdefault(stem.lower(), index)
                target = folder / f"{number}{ending.group().lower() if ending else ''}"
                if target.exists():
                    target = target.with_name(f"{index}_{target.name}")
                inside = f"{where}/{tidy_name(member.name)}"
                checksum = copy_stream(stream, target, member.size, inside)
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


def _beside(
    file: SourceFile, member: str, by_name: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """What a zip holds next to a member that says where it lies.

    Args:
        file: The member.
        member: Its name in the zip.
        by_name: Lower-case name -> name of all members.
    """
    stem = tidy_name(member).lower().removesuffix(file.suffix) if file.suffix else ""
    endings = side_endings(file.suffix) if stem else ()
    return tuple((e, by_name[stem + e]) for e in endings if stem + e in by_name)


def _head(path: Path) -> str:
    with open(path, "rb") as file:
        return repr(file.read(12))[1:]
