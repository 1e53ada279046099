"""Files that appear whole or not at all.

Measured: GeoTIFFs written in place and killed half-way open without complaint and hold zeros, and
a full disk is often not reported by the write.  So: a temporary file beside the target, read back,
flushed to the disk, renamed.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mmrs.errors import OutputError
from mmrs.geo.disk_space import write_error

# that temporary names keep of a stem: names end at 255, and writers add up to 50
STEM_BYTES = 200


@contextmanager
def atomic_path(path: str | Path, *, keep_aux: bool = False) -> Iterator[Path]:
    """Write to the path that this yields; it becomes ``path`` when the block ends well.

    Checks of the written file belong at the end of the block: an error there, as any other,
    removes the temporary file and leaves what ``path`` held.  Missing folders are made.

    Args:
        path: The file to make or replace.
        keep_aux: Let GDAL's ``.aux.xml`` follow the file, where the format cannot hold it all.

    Yields:
        A free name in the same folder (a rename across file systems is not atomic), with the
        same suffix (writers choose the format by it).

    Raises:
        OutputError: If the folder cannot be made or written, or the file cannot be flushed.
    """
    with atomic_paths([path], keep_aux=keep_aux) as (temporary,):
        yield temporary


@contextmanager
def atomic_paths(paths: Sequence[str | Path], *, keep_aux: bool = False) -> Iterator[list[Path]]:
    """As ``atomic_path`` for several files: none is renamed before all are flushed.

    Args:
        paths: The files to make or replace.
        keep_aux: As ``atomic_path``.

    Raises:
        OutputError: As ``atomic_path``; no target is touched then.
    """
    targets = [Path(path) for path in paths]
    for target in targets:
        make_folder(target)
    temporaries = [_temporary(target) for target in targets]
    try:
        yield temporaries
        for temporary, target in zip(temporaries, targets, strict=True):
            flush(temporary, target)
        for temporary, target in zip(temporaries, targets, strict=True):
            _rename(temporary, target)
            aux = Path(f"{temporary}.aux.xml")
            if keep_aux and aux.exists():
                _rename(aux, Path(f"{target}.aux.xml"))
        for folder in {target.parent for target in targets}:
            _flush_folder(folder)
    finally:
        for temporary in temporaries:
            for leftover in (temporary, Path(f"{temporary}.aux.xml"), Path(f"{temporary}.msk")):
                leftover.unlink(missing_ok=True)


def make_folder(target: Path) -> None:
    """Make the folder of a file that will be written.

    Raises:
        OutputError: If it cannot be made or written, or the file's name is a folder's.
    """
    try:
        if target.is_dir():
            raise OutputError("is a folder", where=target, fix="name a file to write")
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make its folder ({error.strerror})",
            where=target,
            fix="choose a place that can be written",
        ) from error
    if not os.access(target.parent, os.W_OK):
        raise OutputError(
            f"no permission to write in {target.parent}", where=target, fix="choose another place"
        )


def remove_beside(target: Path, endings: Sequence[str]) -> None:
    """Remove what other programs keep beside a file under its name and an ending.

    Raises:
        OutputError: It cannot be removed.
    """
    for ending in endings:
        try:
            Path(f"{target}{ending}").unlink(missing_ok=True)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # then there is none
                raise write_error(target, error) from error


def flush(written: Path, target: Path) -> None:
    """Have the system write a file to the disk, which is when a full disk is told at the latest.

    Args:
        written: The file.
        target: What it will become, for the message.

    Raises:
        OutputError: It cannot be written, or is not there.
    """
    try:
        handle = os.open(written, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise OutputError(
            f"cannot be flushed to the disk ({error.strerror})",
            where=target,
            fix="free space on the disk",
        ) from error


def _temporary(target: Path) -> Path:
    stem = os.fsencode(target.stem)[:STEM_BYTES].decode(errors="ignore")
    return target.with_name(f".{stem}.{os.getpid()}-{secrets.token_hex(4)}.part{target.suffix}")


def _rename(temporary: Path, target: Path) -> None:
    try:
        os.replace(temporary, target)
    except OSError as error:
        raise write_error(target, error) from error


def _flush_folder(folder: Path) -> None:
    # makes the rename itself durable; some systems cannot open a folder, and need no flush
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
