"""Files of a data set: which are there, and the suffix that was meant."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmrs.errors import DataError


def missing_files(key: str, dataset: Any, *, labels: bool) -> list[DataError]:
    """Listed files that are not there: by folder listings, which are cheap where stat is not.

    Args:
        key: The data set's place in the config.
        dataset: The data set.
        labels: Whether its labels are read, and so have to be there.

    Returns:
        One error a file; the first tells how many there are.
    """
    if getattr(dataset, "backend_args", None):
        return []  # not on a file system
    listings: dict[str, set[str]] = {}
    missing: dict[str, None] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        for name in ("img_path", "seg_map_path") if labels else ("img_path",):
            path = info.get(name)
            if not isinstance(path, str):
                continue
            folder, file = os.path.split(path)
            if folder not in listings:
                listings[folder] = _files_in(folder)
            if file not in listings[folder]:
                missing[path] = None
    more = f" (and {len(missing) - 1} more of {len(dataset)} samples)" if len(missing) > 1 else ""
    return [
        DataError(
            f"there is no such file{more if index == 0 else ''}, but {key} lists it",
            where=path,
            fix=_missing_pair_fix(path, listings[os.path.dirname(path)], dataset, key),
        )
        for index, path in enumerate(missing)
    ]


def _files_in(folder: str) -> set[str]:
    """Names of its files: no folders, and no links that lead nowhere."""
    if not os.path.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}


def _missing_pair_fix(path: str, listing: set[str], dataset: Any, key: str) -> str:
    """Say which suffix the labels have, where one of that name is there with another."""
    suffix = getattr(dataset, "seg_map_suffix", "")
    stem = os.path.basename(path).removesuffix(suffix)
    for name in sorted(listing):
        if stem and name.startswith(stem) and name[len(stem) :].startswith((".", "_", "-")):
            return f"set {key}.seg_map_suffix={name[len(stem) :]!r}: there is {name}"
    if not listing:
        return f"{os.path.dirname(path)} is empty or no folder: check {key}.data_prefix"
    return (
        "give every image its label of the same name, or check data_prefix, img_suffix and "
        f"seg_map_suffix; that folder holds names such as {min(listing)}"
    )


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Pillow logs what it cannot open besides raising it."""
    pillow = logging.getLogger("PIL")
    before = pillow.level
    pillow.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        pillow.setLevel(before)


def head_of(path: str) -> str:
    """Return the first bytes of a file, to show what it is."""
    with open(path, "rb") as file:
        return repr(file.read(12))[1:]


def missing_folder(error: OSError, key: str) -> DataError:
    """Return the error for a data set whose folder is not there, with what is there instead."""
    path = Path(error.filename or "")
    parent = path
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    held = sorted(p.name for p in parent.iterdir())[:6] if parent.is_dir() else []
    found = f"{parent} holds {', '.join(held)}" if held else f"{parent} is empty"
    return DataError(
        f"there is no such folder ({key}); {found}",
        where=path,
        fix="put the data there, or set data_root and data_prefix "
        f"(--cfg-options {key.split(' ')[0]}.data_root=...)",
    )


def no_files(key: str, dataset: Any) -> DataError:
    """Return the error for a data set without images: suffix asked, suffixes found."""
    folder = Path(dataset.data_prefix.get("img_path") or ".")
    wanted = getattr(dataset, "img_suffix", "")
    found = Counter(p.suffix for p in folder.rglob("*") if p.is_file())
    if not found:
        what = "it is empty"
    else:
        what = "found " + ", ".join(f"{n} x {s or '(no suffix)'}" for s, n in found.most_common(4))
    split = f" listed in {dataset.ann_file}" if getattr(dataset, "ann_file", "") else ""
    fix = f"put the images there, or set {key.split(' ')[0]}.data_prefix"
    if found and wanted not in found:
        fix = f"set {key.split(' ')[0]}.img_suffix={found.most_common(1)[0][0]!r}"
    return DataError(f"no images with suffix {wanted!r}{split}; {what}", where=folder, fix=fix)
