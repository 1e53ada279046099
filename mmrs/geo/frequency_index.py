"""How many pixels of each class the windows of some rasters hold; built once, kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mmrs.errors import DataError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.vrt import is_vrt, safe_vrt, sources_of
from mmrs.geo.windows import Window


@dataclass(frozen=True)
class FrequencyIndex:
    """Pixels of each class in windows.

    Attributes:
        scenes: Which raster each window is of, (N,).
        windows: Row, column, height and width of each, (N, 4).
        counts: Pixels of each class, (N, K); what is ignored is in none.
    """

    scenes: NDArray[np.int64]
    windows: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def totals(self) -> NDArray[np.int64]:
        """Pixels of each class in all windows, (K,)."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def in_reach(self) -> NDArray[np.int64]:
        """Labelled pixels of the rasters in which each class occurs, (K,)."""
        scenes = np.unique(self.scenes)
        sums = np.array([self.counts[self.scenes == scene].sum(axis=0) for scene in scenes])
        return np.asarray(((sums > 0) * sums.sum(axis=1, keepdims=True)).sum(axis=0))

    def draw(self, rng: np.random.Generator) -> tuple[int, Window]:
        """A window: each class that occurs is equally likely to choose it.

        The class is drawn first; then a window, in proportion to the class's pixels in it.

        Raises:
            ValueError: There is no labelled pixel at all.
        """
        present = np.flatnonzero(self.totals)
        if not len(present):
            raise ValueError("no window holds a pixel of any class")
        column = self.counts[:, rng.choice(present)]
        steps = np.cumsum(column)
        place = int(np.searchsorted(steps, rng.integers(steps[-1]), side="right"))
        row, col, height, width = (int(v) for v in self.windows[place])
        return int(self.scenes[place]), Window(row, col, height, width)


def build_frequency_index(
    samples: Iterable[tuple[int, Window, NDArray[Any]]], num_classes: int
) -> FrequencyIndex:
    """Count the labels of windows.

    Args:
        samples: Raster, window, and its class ids (h, w), one after the other; ids from
            ``num_classes`` on do not count.
        num_classes: Number of classes.
    """
    scenes, windows, counts = [], [], []
    for scene, window, labels in samples:
        scenes.append(scene)
        windows.append(tuple(window))
        counts.append(np.bincount(labels[labels < num_classes], minlength=num_classes))
    return FrequencyIndex(
        np.array(scenes, dtype=np.int64),
        np.array(windows, dtype=np.int64).reshape(-1, 4),
        np.array(counts, dtype=np.int64).reshape(-1, num_classes),
    )


def cached_frequency_index(path: str | Path, build: Callable[[], FrequencyIndex]) -> FrequencyIndex:
    """Read an index from a file, or build it and write it there.

    A file that is damaged is built anew.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(path)
    try:
        # NumPy leaves a file open that is no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return FrequencyIndex(kept["scenes"], kept["windows"], kept["counts"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass
    index = build()
    with atomic_path(path) as temporary, temporary.open("wb") as output:
        np.savez_compressed(output, scenes=index.scenes, windows=index.windows, counts=index.counts)
    return index


def fingerprint(paths: Sequence[str | Path], options: Any) -> str:
    """A name for what was made of some files with some options: other files, another name.

    Args:
        paths: Files; their sizes and times of change count, not their content, and so do those of
            what is read with them: masks, nodata values and grids beside a raster, attributes and
            the CRS of a Shapefile, the rasters of a VRT.
        options: What JSON can hold; what else was set, or the version of the making.
    """
    told = []
    for path in (each for given in paths for each in _with_sidecars(Path(given))):
        about = path.stat()
        told.append((str(path.resolve()), about.st_size, about.st_mtime_ns))
    text = json.dumps([told, options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _with_sidecars(path: Path) -> list[Path]:
    """A file, and the files beside it that GDAL reads with it."""
    suffix = path.suffix
    if suffix.lower() == ".shp":
        beside = [path.with_suffix(other) for other in (".dbf", ".prj", ".cpg")]
    else:
        world = (f"{suffix[:2]}{suffix[-1:]}w", f"{suffix}w", ".wld", ".hdr", ".aux.xml", ".aux")
        beside = [path.with_suffix(other) for other in world if len(other) > 2]
        beside += [path.with_name(path.name + other) for other in (".aux.xml", ".msk")]
    found = [path, *(other for other in beside if other != path and other.is_file())]
    return found + [each for source in _sources(path) for each in _with_sidecars(source)]


def _sources(path: Path) -> list[Path]:
    """The rasters that a VRT names; none where it is something else, or is not opened anyway."""
    try:
        return sorted(sources_of(safe_vrt(path))) if is_vrt(path) else []
    except DataError:
        return []
