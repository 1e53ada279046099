"""Which image belongs to which label: lists, folders and globs, paired by name."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmrs.errors import ConfigError, DataError
from mmrs.geo.polygon_file import SUFFIXES as VECTOR_SUFFIXES

IMAGE_SUFFIXES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".img", ".bmp", ".webp")
_SHOWN = 8  # names in one line

Patterns = str | Sequence[str]


def find_files(patterns: Patterns, root: str | None, key: str) -> list[Path]:
    """Files that paths, folders and globs name, sorted, each once.

    Args:
        patterns: One or several. What exists is taken as it is, whatever signs its name holds; a
            folder gives the rasters and vector files in it; ``**`` in a glob goes into folders.
        root: What relative ones are relative to.
        key: For the error.

    Raises:
        DataError: One of them names no file.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    if not patterns:
        raise ConfigError("names no files", where=key, fix="give a path, a folder or a glob")
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(root or "", pattern)
        if path.is_dir():
            suffixes = (*IMAGE_SUFFIXES, *VECTOR_SUFFIXES)
            # names that begin with a dot: what macOS puts beside a file, unfinished copies
            here = [
                p
                for p in path.iterdir()
                if p.suffix.lower() in suffixes and p.name[0] != "." and p.is_file()
            ]
        elif path.exists():
            here = [path]
        else:
            here = [Path(name) for name in glob.glob(str(path), recursive=True)]
            here = [p for p in here if p.is_file()]
        if not here:
            raise _nothing_found(path, key)
        found.update(dict.fromkeys(sorted(here)))
    return list(found)


def pair_files(
    images: Sequence[Path], labels: Sequence[Path], *, stem_pattern: str | None, key: str
) -> list[Path]:
    """The label of each image.

    One label of polygons serves every image, and one image takes the one label there is, whatever
    they are called. Otherwise two belong together whose stems (names without the last suffix) are
    equal, or, where ``stem_pattern`` is given, what its first group finds in the stems.

    Raises:
        DataError: Images without labels or labels without images, listed; or a name twice.
        ConfigError: ``stem_pattern`` is no pattern with a group, or does not fit a name.
    """
    if len(labels) == 1 and (len(images) == 1 or labels[0].suffix.lower() in VECTOR_SUFFIXES):
        return [labels[0]] * len(images)
    by_image = _by_stem(images, stem_pattern, f"{key}.images")
    by_label = _by_stem(labels, stem_pattern, f"{key}.labels")
    bare = [image for stem, image in by_image.items() if stem not in by_label]
    lone = [label for stem, label in by_label.items() if stem not in by_image]
    if bare or lone:
        told = []
        if bare:
            told.append(f"{len(bare)} of {len(images)} images have no label: {_listed(bare)}")
        if lone:
            told.append(f"{len(lone)} of {len(labels)} labels have no image: {_listed(lone)}")
        raise DataError(
            "; ".join(told),
            where=key,
            fix="name image and label alike, or set stem_pattern to what their names share, "
            r"such as '(scene_\d+)'",
        )
    return [by_label[stem] for stem in by_image]


def _by_stem(paths: Sequence[Path], pattern: str | None, key: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.stem if pattern is None else _match(path, pattern, key)
        if stem in found:
            raise DataError(
                f"{found[stem]} and {path} are both called {stem!r}",
                where=key,
                fix="give them different names, or make two data sets of them (ConcatDataset)",
            )
        found[stem] = path
    return found


def _match(path: Path, pattern: str, key: str) -> str:
    where = f"{key.rpartition('.')[0]}.stem_pattern"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{pattern!r} is no regular expression ({error})", where=where, fix="mend it"
        ) from error
    if compiled.groups < 1:
        raise ConfigError(
            f"{pattern!r} has no group",
            where=where,
            fix=r"put what both names share into brackets, such as '(scene_\d+)'",
        )
    found = compiled.search(path.stem)
    if found is None or found.group(1) is None:
        raise ConfigError(
            f"{pattern!r} does not fit {path.name}", where=where, fix="let it fit every name"
        )
    return found.group(1)


def _nothing_found(path: Path, key: str) -> DataError:
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    counted = Counter(Path(name).suffix or "(no suffix)" for name in os.listdir(folder))
    held = ", ".join(f"{n} x {suffix}" for suffix, n in counted.most_common(4)) or "nothing"
    return DataError(
        f"no such file, and nothing that fits ({key}); {folder} holds {held}",
        where=path,
        fix=f"check {key} and data_root",
    )


def _listed(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_SHOWN])
    return names if len(paths) <= _SHOWN else f"{names}, and {len(paths) - _SHOWN} more"
