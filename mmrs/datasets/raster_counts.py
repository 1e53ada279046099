"""Pixels of each class in the windows of a raster data set: counted once, then kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmrs.datasets.window_samplers import GridWindows
from mmrs.geo.frequency_index import (
    FrequencyIndex,
    build_frequency_index,
    cached_frequency_index,
    fingerprint,
)
from mmrs.geo.windows import Window

if TYPE_CHECKING:
    from mmrs.datasets.raster_seg import RasterSegDataset


def counted_classes(dataset: RasterSegDataset) -> FrequencyIndex:
    """Pixels of each class in all windows of the sampler's size, from the cache if they are there.

    Another name, and so another count, belongs to every change of a file or of an option that
    changes labels.
    """
    infos = dataset.raster_infos()
    files = {Path(info[key]) for info in infos for key in ("img_path", "seg_map_path")}
    if isinstance(dataset.area, str):
        files.add(Path(dataset.data_root or "", dataset.area))
    options = [[key, _plain(value)] for key, value in sorted(dataset.label_options.items())]
    options += [dataset.reduce_zero_label, dataset.ignore_index, dataset.area, dataset.bands]
    options += [list(dataset.sampler_options["size"]), dataset.metainfo["classes"], "index", 2]
    name = fingerprint(sorted(files), options)
    kept = dataset.cache_dir / f"frequency-{name}.npz"
    return cached_frequency_index(kept, lambda: _count(dataset, infos, kept))


def _plain(value: Any) -> Any:
    # JSON sorts no keys of different types
    return sorted(map(repr, value.items())) if isinstance(value, Mapping) else value


def _count(dataset: RasterSegDataset, infos: list[dict], kept: Path) -> FrequencyIndex:
    shapes = [info["raster_shape"] for info in infos]
    size = dataset.sampler_options["size"]
    grid = GridWindows(shapes, size, areas=dataset.areas, count_once=True)
    print_log(f"classes of {len(grid)} windows are counted, once: {kept}", "current")
    try:
        return build_frequency_index(
            _samples(dataset, infos, grid), len(dataset.metainfo["classes"])
        )
    finally:
        dataset.reader.close()


def _samples(
    dataset: RasterSegDataset, infos: list[dict], grid: GridWindows
) -> Iterator[tuple[int, Window, NDArray[np.uint8]]]:
    for index in range(len(grid)):
        scene, window = grid[index]
        part = tuple((s.start, s.stop) for s in grid.own_part(index))
        info = {**infos[scene], "window": tuple(window), "own_part": part}
        labels = dataset.read_labels(info)[1]
        if dataset.reader.raster(info["img_path"]).has_invalid:
            valid = dataset.reader.read(info["img_path"], window)[1]
            labels[~valid] = dataset.ignore_index
        yield scene, window, labels
