"""What an archive must not do: lead elsewhere, grow without bounds, break off without a word."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mmrs.errors import DataError, OutputError

_RATIO_COUNTS_FROM = 100 << 20  # a small bomb harms nobody, and small files compress well
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError),
    *(RuntimeError, UnicodeError, ValueError),
)


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may grow to; all archives of a survey count together.

    Attributes:
        max_bytes: Sum of the sizes of all members, unpacked.
        max_ratio: Unpacked size over archive size, where more than 100 MB are unpacked.
            A label raster of few colours reaches some hundreds; deflate's end is 1032.
        max_files: Number of members.
    """

    max_bytes: int = 1 << 40
    max_ratio: float = 500.0
    max_files: int = 3_000_000


class Tally:
    """What the archives of a source add up to.

    Args:
        limits: What they may.
    """

    def __init__(self, limits: ArchiveLimits) -> None:
        self.limits = limits
        self.bytes = 0
        self.members = 0

    def count(self, path: Path, where: str, members: Iterable[tuple[str, int]]) -> None:
        """Add members to the sums, and stop at the first that is too much."""
        packed, unpacked = max(path.stat().st_size, 1), 0
        limits = self.limits
        for _name, size in members:
            self.members += 1
            self.bytes += size
            unpacked += size
            if self.members > limits.max_files:
                raise DataError(
                    f"holds more than {limits.max_files} files",
                    where=where,
                    fix="if you trust it, raise --max-files",
                )
            if self.bytes > limits.max_bytes:
                raise DataError(
                    f"unpacks to more than {limits.max_bytes / 2**30:.4g} GiB",
                    where=where,
                    fix="if you trust it, raise --max-size",
                )
            if unpacked > max(_RATIO_COUNTS_FROM, limits.max_ratio * packed):
                raise DataError(
                    f"unpacks to more than {limits.max_ratio:g} times its size, as a bomb does",
                    where=where,
                    fix="if you trust it, raise --max-ratio",
                )


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Tell a damaged archive in one line, whatever its reader raises."""
    try:
        yield
    except (DataError, OutputError):
        raise
    except NotImplementedError as error:
        raise DataError(
            f"cannot be read ({error})",
            where=where,
            fix="unpack it yourself (7z x), and name the folder: some programs pack large zips "
            "in a way of their own (Deflate64)",
        ) from error
    except _BROKEN as error:
        cause = str(error) or type(error).__name__
        raise DataError(
            f"cannot be read ({cause})", where=where, fix="the archive is damaged; fetch it again"
        ) from error


def tidy_name(name: str) -> str:
    """A member's name with one kind of slash and without a leading ``./``."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join(parts)


def check_name(name: str, where: str) -> None:
    """Refuse a member whose name leads out of the folder that it is unpacked to."""
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or re.match(r"^[A-Za-z]:", slashed):
        refuse(f"member {name!r} has an absolute path", where)
    if ".." in slashed.split("/"):
        refuse(f"member {name!r} leads out of the archive", where)
    if "\0" in name or not name:
        refuse(f"member {name!r} has no proper name", where)


def check_twice(names: list[str], where: str) -> None:
    """Refuse two members of one name: readers disagree on which of them counts."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            refuse(f"member {name} is there twice", where)
        seen.add(name)


def refuse(what: str, where: str) -> NoReturn:
    """Raise the error of an archive that is not to be trusted."""
    raise DataError(
        f"{what}; refused, nothing was unpacked",
        where=where,
        fix="fetch the archive from its owner; unpack it yourself only if you trust it",
    )
