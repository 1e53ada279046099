"""What a data set's converter has to say, and helpers that several share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrs.apis.prepare.download import Download
from mmrs.apis.prepare.job import Plan
from mmrs.apis.prepare.options import Options
from mmrs.errors import DataError
from mmrs.geo.source_file import SourceFile

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".webp", ".img")
TILING = frozenset({"tile", "stride", "tiles_per_side", "edge"})
COLOURS = frozenset({"tolerance", "max_unknown_ratio"})

Planner = Callable[[Sequence[SourceFile], Options, Path], Plan]


def _nothing(root: Path, records: list[dict[str, Any]]) -> list[str]:
    """Write nothing more: the default."""
    return []


@dataclass(frozen=True)
class Converter:
    """One data set.

    Attributes:
        name: On the command line.
        title: For people.
        layout: What its archives look like.
        licence: Its terms, as far as we know them, and where they stand.
        where: Where to get it.
        plan: Files of the source -> what to do.
        options: Names of the `Options` that it takes.
        archives: Which archives inside the source it needs for the options given; all where None.
        downloads: Files that an official place gives out to scripts.
        finish: Writes what belongs to the set as a whole; returns the files' names.
        version: Counts changes of what it makes.
    """

    name: str
    title: str
    layout: str
    licence: str
    where: str
    plan: Planner
    options: frozenset[str] = frozenset()
    archives: Callable[[Options], re.Pattern[str]] | None = None
    downloads: tuple[Download, ...] = ()
    finish: Callable[[Path, list[dict[str, Any]]], list[str]] = _nothing
    version: int = 1

    def wants_archive(self, name: str, options: Options) -> bool:
        """Whether an archive found inside the source is to be opened."""
        if self.archives is None:
            return True
        return self.archives(options).search(name.rpartition("/")[2]) is not None

    def expects(self) -> str:
        """The mend for a source that is not what it should be."""
        return f"give {self.layout}; {self.where}"

    def describe(self) -> str:
        """All that is known of it, as paragraphs."""
        return (
            f"{self.title}\n  layout:  {self.layout}\n  licence: {self.licence}\n"
            f"  get it:  {self.where}"
        )


def select(
    files: Iterable[SourceFile], pattern: str, suffixes: Sequence[str] | None = None
) -> dict[str, SourceFile]:
    """Files whose name fits a pattern, by what its first group finds.

    Args:
        files: All files of the source.
        pattern: Searched in the whole name, upper and lower case alike.
        suffixes: Endings; any where None.

    Raises:
        DataError: Two different files have one key.
    """
    search = re.compile(pattern, re.IGNORECASE).search
    found: dict[str, SourceFile] = {}
    for file in files:
        match = search(file.name)
        if match is None or (suffixes is not None and file.suffix not in suffixes):
            continue
        key = match.group(1)
        other = found.get(key)
        # an archive beside its unpacked folder holds the same files twice
        if other is None or (other.size == file.size and other.basename == file.basename):
            found.setdefault(key, file)
            continue
        raise DataError(
            f"{other.name} and {file.name} are both {key}",
            where=file.path,
            fix="leave one of them in the source",
        )
    return found


def check_partners(
    images: Mapping[str, SourceFile],
    labels: Mapping[str, SourceFile],
    options: Options,
    *,
    where: Path,
    fix: str,
    only_images: Iterable[str] = (),
    only_labels: Iterable[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """Keys that have both, and those left out, which only ``--skip-bad`` allows.

    Args:
        images: By key.
        labels: By key.
        options: Of the user.
        where: The source.
        fix: What to do about orphans.
        only_images: Keys that are known to have no label.
        only_labels: Keys that are known to have no image.

    Returns:
        Keys with both in the order of the images, and key -> why it is left out.

    Raises:
        DataError: With the orphans.
    """
    without_label = [key for key in images if key not in labels and key not in set(only_images)]
    without_image = [key for key in labels if key not in images and key not in set(only_labels)]
    if (without_label or without_image) and not options.skip_bad:
        told = []
        if without_label:
            told.append(f"{len(without_label)} of {len(images)} images have no label "
                        f"({shorten(without_label)})")  # fmt: skip
        if without_image:
            told.append(f"{len(without_image)} of {len(labels)} labels have no image "
                        f"({shorten(without_image)})")  # fmt: skip
        raise DataError(
            " and ".join(told), where=where, fix=f"{fix}, or --skip-bad to leave them out"
        )
    skipped = dict.fromkeys(without_label, "no label")
    skipped |= dict.fromkeys(without_image, "label without an image")
    return [key for key in images if key in labels], skipped


def nothing_found(
    what: str, files: Sequence[SourceFile], source: Path, converter_fix: str
) -> DataError:
    """The error of a source that lacks a kind of files, with the endings that it has."""
    endings: dict[str, int] = {}
    for file in files:
        endings[file.suffix or "(none)"] = endings.get(file.suffix or "(none)", 0) + 1
    most = sorted(endings.items(), key=lambda item: -item[1])[:4]
    found = ", ".join(f"{count} x {ending}" for ending, count in most)
    example = f", such as {files[0].name}" if files else ""
    return DataError(f"no {what} in it; found {found}{example}", where=source, fix=converter_fix)


def shorten(names: Sequence[str], most: int = 5) -> str:
    """A list for one line."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
