"""Which scenes a command line means, and where the map of each goes."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmrs.apis.scene.own_maps import is_own_output
from mmrs.errors import DataError, OutputError
from mmrs.geo.maps.raster_output import SUFFIXES as MAP_SUFFIXES

logger = logging.getLogger(__name__)

SCENE_SUFFIXES = (
    *(".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img", ".bmp", ".webp"),
)
Pair = tuple[Path, Path]


def expand_scenes(image: str, out: str) -> list[Pair]:
    """The scenes that are meant, each with its class map.

    A folder is walked, and its tree is mirrored in the output, so that ``a/x.tif`` and ``b/x.tif``
    stay apart; likewise what a glob finds below its fixed part, and what a list names below the
    folder of the list. Hidden files, what lies in the output folder, and what an earlier run wrote
    (class maps, scores and pictures beside them) are no scenes.

    Args:
        image: A file; a folder; a pattern (``*``, ``?``, ``[...]``, and ``**`` for folders of any
            depth); or a list (``.txt``, UTF-8: one path a line, relative to the list, ``#`` begins
            a comment).
        out: Of one file: the class map (``.tif``) or a folder for it. Else a folder.

    Returns:
        (image, class map), in the order of names, or of the list.

    Raises:
        DataError: There is no such scene.
        OutputError: Two scenes would become one map, or ``out`` is no folder where one is needed.
    """
    path = Path(image)
    if path.is_file() and path.suffix.lower() != ".txt":
        return [(path, _single_map(path, out))]
    if not path.exists() and not glob.has_magic(image):
        raise DataError("no such file or folder", where=image, fix="check the path")
    folder = _folder(out)
    if path.is_file():
        root, images = _from_list(path)
    elif path.is_dir():
        root, images = path, _from_tree(path, folder)
    else:
        root, images = _from_pattern(image, folder)
    pairs = [(found, _map_path(_below(found, root), folder)) for found in images]
    _check_apart(pairs)
    return pairs


def is_single(image: str) -> bool:
    """Whether one scene is named by itself, and not a folder, a pattern or a list."""
    path = Path(image)
    return path.is_file() and path.suffix.lower() != ".txt"


def _single_map(image: Path, out: str) -> Path:
    target = Path(out)
    if target.is_dir() or out.endswith(os.sep) or not target.suffix:
        return _map_path(Path(image.name), target)
    return target


def _folder(out: str) -> Path:
    folder = Path(out)
    if folder.is_dir():
        return folder
    if folder.exists() or folder.suffix.lower() in MAP_SUFFIXES:
        raise OutputError(
            "several scenes need a folder for their maps", where=out, fix="name a folder"
        )
    return folder


def _map_path(relative: Path, folder: Path) -> Path:
    return folder / relative.with_suffix(".tif")


def _from_tree(root: Path, out: Path) -> list[Path]:
    found: list[Path] = []
    visited = set()
    for here, folders, names in os.walk(root, followlinks=True, onerror=_warn_of_folder):
        place = os.path.realpath(here)
        if place in visited:  # a link back up, or a second way to a folder
            folders[:] = []
            continue
        visited.add(place)
        # sorted in place: os.walk goes on in this order
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here, name) for name in sorted(names) if not name.startswith(".")]
    return _scenes_among(found, root, out, where=root)


def _warn_of_folder(error: OSError) -> None:
    # else its scenes would be missing from the maps without a word
    logger.warning(
        "warning: %s: passed over, the folder cannot be read (%s)", error.filename, error.strerror
    )


def _from_pattern(pattern: str, out: Path) -> tuple[Path, list[Path]]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    found = sorted({Path(name) for name in glob.glob(pattern, recursive=True)})
    files = [path for path in found if path.is_file()]
    root = Path(*parts[:fixed])
    return root, _scenes_among(files, root, out, where=pattern)


def _from_list(path: Path) -> tuple[Path, list[Path]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as a list ({error})", where=path) from error
    images: list[Path] = []
    lines_of: dict[Path, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        image = path.parent / name
        if not image.is_file():
            raise DataError(
                f"line {number}: there is no file {name}", where=path, fix="check the path"
            )
        first = lines_of.setdefault(_absolute(image), number)
        if first != number:
            raise DataError(
                f"line {number}: {name} is named in line {first} already",
                where=path,
                fix="take one of them out",
            )
        images.append(image)
    if not images:
        raise DataError("it names no scene", where=path, fix="write one path a line")
    inside = all(_is_below(image, path.parent) for image in images)
    if inside:
        return path.parent, images
    return Path(os.path.commonpath([_absolute(image.parent) for image in images])), images


def _scenes_among(files: Sequence[Path], root: Path, out: Path, *, where: str | Path) -> list[Path]:
    if _is_below(out, root):
        files = [path for path in files if not _is_below(path, out)]
    rasters = [path for path in files if path.suffix.lower() in SCENE_SUFFIXES]
    images = [path for path in rasters if not is_own_output(path)]
    if images:
        return images
    what = f"no scene: searched for {', '.join(SCENE_SUFFIXES)}"
    if rasters:
        what += f"; all {len(rasters)} of these are maps of an earlier run"
    suffixes = (path.suffix.lower() or "no suffix" for path in files)
    others = Counter(suffix for suffix in suffixes if suffix not in SCENE_SUFFIXES)
    told = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
    raise DataError(f"{what}; found {told or 'nothing else'}", where=where, fix="check the path")


def _check_apart(pairs: Iterable[Pair]) -> None:
    maps: dict[Path, Path] = {}
    for image, out in pairs:
        other = maps.setdefault(out, image)
        if other is not image:
            raise OutputError(
                f"both {other} and {image} would become it",
                where=out,
                fix="predict them into folders of their own, or rename one",
            )


def _below(path: Path, root: Path) -> Path:
    return Path(os.path.relpath(_absolute(path), _absolute(root)))


def _is_below(path: Path, root: Path) -> bool:
    return _absolute(root) in _absolute(path).parents


def _absolute(path: Path) -> Path:
    # links stay as they are: the tree is mirrored as it is seen
    return Path(os.path.abspath(path))
