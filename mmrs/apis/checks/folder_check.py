"""What lies in the folders of a data set and is not read, and what is read in two splits."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmrs.apis.checks.findings import Finding
from mmrs.apis.checks.raster_label_reader import is_windowed
from mmrs.errors import DataError

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".img"}


@dataclass
class _Folder:
    """A folder of images or labels: what is read of it, and by which data sets."""

    read: set[str] = field(default_factory=set)
    users: list[tuple[str, Any]] = field(default_factory=list)


def unread_files(datasets: Iterable[tuple[str, Any]]) -> list[Finding]:
    """Labels without an image, and images that another suffix hides.

    Args:
        datasets: (place in the config, data set) of all splits, so that a folder that two of
            them share is understood.

    Returns:
        A warning for each file.
    """
    images, labels = _folders(datasets)
    findings, hidden = [], set()
    for folder, content in images.items():
        if folder in labels:
            continue  # images and labels in one folder: suffixes tell them apart
        key, dataset = content.users[0]
        for path in _files(folder):
            suffix = os.path.splitext(path)[1]
            if path in content.read or suffix.lower() not in _IMAGE_SUFFIXES:
                continue
            if any(path.endswith(getattr(d, "img_suffix", suffix)) for _, d in content.users):
                continue  # left out by a list of files, or by a rule of the data set
            hidden.add(Path(path).stem)
            error = DataError(
                f"is not read: {key}.img_suffix is {dataset.img_suffix!r}",
                where=path,
                fix="convert it to the suffix of the others, or take it away",
            )
            findings.append(Finding("orphan", "warning", error))
    for folder, content in labels.items():
        findings += _orphan_labels(folder, content, hidden)
    return findings


def _orphan_labels(folder: str, content: _Folder, hidden: set[str]) -> list[Finding]:
    findings = []
    for path in _files(folder):
        users = [
            (key, d) for key, d in content.users if path.endswith(getattr(d, "seg_map_suffix", ""))
        ]
        if path in content.read or not users:
            continue
        places = []
        for _, dataset in users:
            stem = os.path.relpath(path, folder).removesuffix(dataset.seg_map_suffix)
            image_folder = os.path.normpath(dataset.data_prefix["img_path"])
            places.append(os.path.join(image_folder, stem + dataset.img_suffix))
        if os.path.basename(stem) in hidden or any(os.path.exists(place) for place in places):
            continue
        error = DataError(
            f"has no image: there is no {places[0]}",
            where=path,
            fix="restore the image, or take the label away",
        )
        findings.append(Finding("orphan", "warning", error))
    return findings


def _folders(datasets: Iterable[tuple[str, Any]]) -> tuple[dict[str, _Folder], dict[str, _Folder]]:
    images: dict[str, _Folder] = defaultdict(_Folder)
    labels: dict[str, _Folder] = defaultdict(_Folder)
    for key, dataset in datasets:
        prefix = getattr(dataset, "data_prefix", None) or {}
        if getattr(dataset, "backend_args", None) or not hasattr(dataset, "img_suffix"):
            continue
        if is_windowed(dataset):
            continue  # names its files by paths and globs, and has paired them
        for name, folders in (("img_path", images), ("seg_map_path", labels)):
            folder = prefix.get(name)
            if not isinstance(folder, str) or not os.path.isdir(folder):
                continue
            known = folders[os.path.normpath(folder)]
            known.users.append((key, dataset))
            for index in range(len(dataset)):
                path = dataset.get_data_info(index).get(name)
                if isinstance(path, str):
                    known.read.add(os.path.normpath(path))
    return images, labels


def _files(folder: str) -> list[str]:
    return sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    )


def same_images(splits: Sequence[tuple[str, Sequence[str]]]) -> list[Finding]:
    """Images of the first split whose bytes are in another one too.

    Args:
        splits: (name, paths), the split that is trained on first.

    Returns:
        A warning for each pair of files.
    """
    if len(splits) < 2:
        return []
    by_size: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, paths in splits:
        for path in dict.fromkeys(paths):
            if os.path.isfile(path):
                by_size[os.path.getsize(path)].append((name, path))
    findings = []
    first = splits[0][0]
    for size, files in by_size.items():
        if size == 0 or len({name for name, _ in files}) < 2:
            continue
        by_hash: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, path in files:
            by_hash[_digest(path)].append((name, path))
        for same in by_hash.values():
            trained = [path for name, path in same if name == first]
            for name, path in same:
                if name == first or not trained:
                    continue
                what = f"the same image as {trained[0]} of {first}"
                error = DataError(
                    what if path != trained[0] else f"is read in {first} and in {name}",
                    where=path,
                    fix=f"take it out of {first} or of {name}: scores on it mean nothing",
                )
                findings.append(Finding("duplicate", "warning", error))
    return findings


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
