"""Images and labels of a set whose layout nobody has told: by the names of their folders."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.converter import IMAGE_SUFFIXES, nothing_found, shorten
from mmrs.apis.prepare.options import Options
from mmrs.errors import DataError
from mmrs.geo.archive import SourceFile

_IMAGE_WORDS = frozenset(
    "image images img imgs img_dir imagery sat satellite rgb chips data input inputs top x".split()
)
_LABEL_WORDS = frozenset(
    "label labels mask masks binarymasks gt gts groundtruth ground_truth ann ann_dir anns "
    "annotation annotations target targets seg segmentation y".split()
)
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LABEL_ENDING = re.compile(r"[._-](mask|label|labels|gt|seg|noboundary)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """An image and its label, and the part that a folder's name puts them in."""

    stem: str
    image: SourceFile
    label: SourceFile | None
    part: str | None


def find_pairs(
    files: Sequence[SourceFile], options: Options, source: Path, *, fix: str, labels: bool = True
) -> tuple[list[Pair], dict[str, str]]:
    """Pair the images with the labels.

    Args:
        files: All files of the source.
        options: ``images`` and ``annotations`` name the folders; without them the folders are
            recognised by their names.
        source: For messages.
        fix: Mend of a source without images.
        labels: Whether labels are files beside the images.

    Returns:
        The pairs, sorted by stem, and what ``--skip-bad`` leaves out.

    Raises:
        DataError: There are none, or some have no partner.
    """
    rasters = [file for file in files if file.suffix in IMAGE_SUFFIXES]
    if not labels:
        chosen = [f for f in rasters if options.images is None or _below(f, options.images)]
        if not chosen:
            raise nothing_found("images", files, source, fix)
        return _unique([Pair(f.stem, f, None, _part(f.folder)) for f in chosen], source), {}
    image_folders, label_folders = _folders(rasters, options)
    images = _by_key(rasters, image_folders)
    annotations = _by_key(rasters, label_folders)
    if not images or not annotations:
        what = "images" if not images else "labels"
        asked = options.images if not images else options.annotations
        raise nothing_found(
            f"{what} below {asked}" if asked else f"folders of images and of labels ({what})",
            files,
            source,
            "name their folders with --images and --annotations" if not asked else fix,
        )
    return _join(images, annotations, options, source)


def _join(
    images: Mapping[str, SourceFile],
    labels: dict[str, SourceFile],
    options: Options,
    source: Path,
) -> tuple[list[Pair], dict[str, str]]:
    plain = {_LABEL_ENDING.sub("", key): key for key in labels}
    partner = {key: key if key in labels else plain.get(key) for key in images}
    used = {found for found in partner.values() if found is not None}
    lonely = [images[key].name for key, found in partner.items() if found is None]
    orphans = [file.name for key, file in labels.items() if key not in used]
    if (lonely or orphans) and not options.skip_bad:
        told = [
            f"{len(names)} {kind} ({shorten(names)})"
            for kind, names in (("images have no label", lonely), ("labels no image", orphans))
            if names
        ]
        raise DataError(
            " and ".join(told),
            where=source,
            fix="give image and label the same name, or --skip-bad to leave them out",
        )
    depth = _common_depth(list(images))
    pairs = [
        Pair("__".join(key.split("/")[depth:]), images[key], labels[found], _part(key))
        for key, found in partner.items()
        if found is not None
    ]
    skipped = dict.fromkeys(lonely, "no label") | dict.fromkeys(orphans, "label without an image")
    return _unique(pairs, source), skipped


def _common_depth(keys: Sequence[str]) -> int:
    """How many leading folders all names share; they would tell nothing apart."""
    folders = [key.split("/")[:-1] for key in keys]
    depth = 0
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1:
            break
        depth += 1
    return depth


def _unique(pairs: Iterable[Pair], source: Path) -> list[Pair]:
    found: dict[str, Pair] = {}
    for pair in pairs:
        # folders of parts are no part of a name
        parts = [word for word in pair.stem.split("__") if word.lower() not in _PARTS]
        stem = "__".join(parts) or pair.stem
        if stem in found:
            stem = pair.stem
        if stem in found:
            raise DataError(
                f"{found[stem].image.name} and {pair.image.name} have one name",
                where=source,
                fix="give images of one set different names, or prepare folders one by one",
            )
        found[stem] = Pair(stem, pair.image, pair.label, pair.part)
    return [found[stem] for stem in sorted(found)]


def divide(pairs: Sequence[Pair], options: Options) -> dict[str, str]:
    """Part of each pair, by its stem.

    Folders named train, val or test decide where there are any. Otherwise source images (or
    groups of them) are ordered by the SHA-256 of ``"{seed}/{name}"``, and the first
    ``split_ratio`` of them validate; never a tile of an image whose other tiles train.

    Raises:
        UsageError: The expression of ``group`` is none, or does not fit a name.
    """
    if any(pair.part for pair in pairs) and options.split_ratio is None:
        return {pair.stem: pair.part or "train" for pair in pairs}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        groups[_group(pair.stem, options.group)].append(pair.stem)
    seed = options.split_seed or 0

    def lot(name: str) -> tuple[str, str]:
        return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest(), name

    ratio = 0.2 if options.split_ratio is None else options.split_ratio
    count = round(ratio * len(groups))
    if 0 < ratio < 1 and len(groups) > 1:
        count = min(max(count, 1), len(groups) - 1)
    validating = set(sorted(groups, key=lot)[:count])
    return {
        stem: "val" if group in validating else "train"
        for group, stems in groups.items()
        for stem in stems
    }


def _group(stem: str, expression: str | None) -> str:
    if expression is None:
        return stem
    try:
        match = re.search(expression, stem)
    except re.error as error:
        raise UsageError(f"--group {expression!r} is no regular expression ({error})") from error
    if match is None:
        raise UsageError(
            f"--group {expression!r} does not fit {stem}", fix=r"such as '^(\d+)_' for 7_0_7"
        )
    return match.group(match.lastindex or 0)


def _folders(rasters: Sequence[SourceFile], options: Options) -> tuple[set[str], set[str]]:
    folders = {file.folder for file in rasters}
    ancestors = {parent for folder in folders for parent in _self_and_parents(folder)}
    if options.annotations is not None:
        labels = {folder for folder in ancestors if _ends(folder, options.annotations)}
    else:
        labels = {folder for folder in ancestors if _word(folder) in _LABEL_WORDS}
    if options.images is not None:
        return {folder for folder in ancestors if _ends(folder, options.images)}, labels
    images: set[str] = set()
    for folder in labels:
        parent = folder.rpartition("/")[0]
        siblings = {f for f in ancestors if f.rpartition("/")[0] == parent and f and f != folder}
        siblings -= labels
        named = {f for f in siblings if _word(f) in _IMAGE_WORDS}
        # the only other folder needs no name
        images |= named if named or len(siblings) != 1 else siblings
    return images, labels


def _by_key(rasters: Sequence[SourceFile], folders: set[str]) -> dict[str, SourceFile]:
    """Files below folders, by their names with that folder taken out."""
    found = {}
    for file in rasters:
        for folder in _self_and_parents(file.folder):
            if folder in folders:
                before = folder.rpartition("/")[0]
                after = file.folder[len(folder) :].strip("/")
                parts = [_plain(before), after, file.stem]
                found["/".join(part for part in parts if part)] = file
                break
    return found


def _plain(folder: str) -> str:
    """A folder without the names of archives: labels may come in another one than images."""
    return "/".join(p for p in folder.split("/") if not p.lower().endswith((".zip", ".tar", "gz")))


def _self_and_parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _ends(folder: str, wanted: str) -> bool:
    tail = wanted.strip("/")
    return folder == tail or folder.endswith(f"/{tail}")


def _below(file: SourceFile, wanted: str) -> bool:
    return any(_ends(folder, wanted) for folder in _self_and_parents(file.folder))


def _word(folder: str) -> str:
    return folder.rpartition("/")[2].lower()


def _part(name: str) -> str | None:
    for word in name.lower().split("/"):
        if word in _PARTS:
            return _PARTS[word]
    return None
