"""Images and labels of a set whose layout nobody has told: by the names of their folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrs.apis.prepare.converter import IMAGE_SUFFIXES, nothing_found, shorten
from mmrs.apis.prepare.options import Options
from mmrs.errors import DataError
from mmrs.geo.source_file import SourceFile, is_archive

_IMAGE_WORDS = frozenset(
    "image images img imgs img_dir imagery sat satellite rgb chips data input inputs top x".split()
)
_LABEL_WORDS = frozenset(
    "label labels mask masks binarymasks gt gts groundtruth ground_truth ann ann_dir anns "
    "annotation annotations target targets seg segmentation y".split()
)
_SURE_WORDS = (_IMAGE_WORDS | _LABEL_WORDS) - {"data", "input", "inputs"}
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
        alone = _by_key(*_without_labels(rasters, options), source, others=True)
        if not alone:
            raise nothing_found("images", files, source, fix)
        return _unique([_pair(key, alone, None) for key in alone], source), {}
    image_folders, label_folders = _folders(rasters, options)
    images = _by_key(rasters, image_folders, source)
    annotations = _by_key(rasters, label_folders, source)
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
    pairs = [
        _pair(key, images, labels[found]) for key, found in partner.items() if found is not None
    ]
    skipped = dict.fromkeys(lonely, "no label") | dict.fromkeys(orphans, "label without an image")
    return _unique(pairs, source), skipped


def _pair(key: str, images: Mapping[str, SourceFile], label: SourceFile | None) -> Pair:
    words = key.split("/")
    stem = "__".join(words[_common_depth(images) :])
    # of the folders alone: a file may be called test and be none
    return Pair(stem, images[key], label, _part("/".join(words[:-1])))


def _common_depth(keys: Iterable[str]) -> int:
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
        *folders, name = pair.stem.split("__")
        stem = "__".join([*(word for word in folders if word.lower() not in _PARTS), name])
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


def _without_labels(
    rasters: Sequence[SourceFile], options: Options
) -> tuple[list[SourceFile], set[str]]:
    """Images that polygons label, and the folders that they lie in."""
    if options.images is not None:
        chosen = [file for file in rasters if _below(file, options.images)]
        every = {folder for file in chosen for folder in _self_and_parents(file.folder)}
        return chosen, {folder for folder in every if _ends(folder, options.images)}
    every = {folder for file in rasters for folder in _self_and_parents(file.folder)}
    labels = {folder for folder in every if _word(folder) in _LABEL_WORDS}
    chosen = [f for f in rasters if not labels & set(_self_and_parents(f.folder))]
    return chosen or list(rasters), {folder for folder in every if _word(folder) in _IMAGE_WORDS}


def _by_key(
    rasters: Sequence[SourceFile], folders: set[str], source: Path, *, others: bool = False
) -> dict[str, SourceFile]:
    """Files below folders, by their names with that folder taken out.

    Args:
        rasters: Files.
        folders: Some of their folders.
        source: For messages.
        others: Take files below none of them as well, by their whole names.

    Raises:
        DataError: Two different files have one name.
    """
    found: dict[str, SourceFile] = {}
    for file in rasters:
        folder = next((f for f in _self_and_parents(file.folder) if f in folders), None)
        if folder is None and not others:
            continue
        before, after = file.folder, ""
        if folder is not None:
            before, after = folder.rpartition("/")[0], file.folder[len(folder) :].strip("/")
        key = "/".join(part for part in (_plain(before), _plain(after), file.stem) if part)
        other = found.setdefault(key, file)
        # an archive beside its unpacked folder holds the same files twice
        if other.size != file.size or other.basename != file.basename:
            raise DataError(
                f"{other.name} and {file.name} have one name",
                where=source,
                fix="leave one of them in the source, or give them different names",
            )
    return found


def _plain(folder: str) -> str:
    """A folder without the names of archives: labels may come in another one than images.

    An archive called train, val or test counts as a folder of that name.
    """
    words = [
        word.partition(".")[0] if is_archive(word) else word
        for word in folder.split("/")
        if not is_archive(word) or word.partition(".")[0].lower() in _PARTS
    ]
    return "/".join(words)


def _self_and_parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _ends(folder: str, wanted: str) -> bool:
    tail = wanted.strip("/")
    return folder == tail or folder.endswith(f"/{tail}")


def _below(file: SourceFile, wanted: str) -> bool:
    return any(_ends(folder, wanted) for folder in _self_and_parents(file.folder))


def _word(folder: str) -> str:
    *above, word = folder.lower().split("/")
    # below images/ or masks/ these are names of scenes
    return "" if word in ("x", "y") and set(above) & _SURE_WORDS else word


def _part(name: str) -> str | None:
    for word in name.lower().split("/"):
        if word in _PARTS:
            return _PARTS[word]
    return None
