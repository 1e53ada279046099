"""What the bands and classes of a data set are like: counted, and kept as numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import init_default_scope

from mmrs.apis.checks.data_check import build_datasets
from mmrs.apis.checks.label_reader import LabelReader
from mmrs.apis.checks.stats_report import ClassStats, DatasetStats
from mmrs.apis.config.config_load import load_config
from mmrs.apis.config.config_types import config_name
from mmrs.apis.progress import progress_bar
from mmrs.datasets.raster_files import find_files
from mmrs.errors import ConfigError, DataError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.band_stats import compute_band_stats
from mmrs.geo.class_weights import METHODS, WeightMethod, class_weights
from mmrs.geo.palette import default_palette
from mmrs.geo.raster import allow_missing_georeference


def stats_of_rasters(
    patterns: str | Sequence[str], *, bands: Sequence[int] | None = None
) -> DatasetStats:
    """Band statistics of images.

    Args:
        patterns: Paths, folders or globs.
        bands: Which, counted from 1; all that are data by default.

    Raises:
        DataError: A file cannot be read, or they differ in type or bands.
    """
    paths = find_files(patterns, None, "images")
    with progress_bar("pixels") as tick, allow_missing_georeference():
        stats = compute_band_stats(paths, bands=bands, progress=tick)
    return DatasetStats(f"{len(paths)} image{'' if len(paths) == 1 else 's'}", stats)


def stats_of_config(
    config: str | Path,
    *,
    split: str = "train",
    bands: Sequence[int] | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> list[DatasetStats]:
    """Statistics of the data sets of a config.

    Args:
        config: A config file; only its data sets are needed.
        split: train, val or test.
        bands: Which, counted from 1; those that a `mmrs.RasterSegDataset` reads by default,
            else all.
        cfg_options: Dotted key -> value, merged into the config.

    Returns:
        One for each data set; wrappers such as ``ConcatDataset`` have several.

    Raises:
        ConfigError: The config cannot be read, or has no such data set.
        DataError, LabelError: A file is damaged, or a label no class.
    """
    cfg = load_config(config, cfg_options=cfg_options)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    found = []
    with allow_missing_georeference():
        for key, dataset in build_datasets(cfg, split):
            if hasattr(dataset, "raster_infos"):
                found.append(_of_windows(key, dataset, bands))
            else:
                found.append(_of_files(key, dataset, bands))
    if not found:
        raise ConfigError(
            f"there is no {split}_dataloader", where=config_name(cfg), fix="choose another --split"
        )
    return found


def write_stats(stats: Sequence[DatasetStats], out: str | Path) -> None:
    """Write JSON; ``scaling=dict(stats=FILE)`` of `mmrs.RasterSegDataset` reads the first bands.

    Raises:
        OutputError: It cannot be written.
    """
    first, *rest = [_plain(each) for each in stats]
    _write_json({**first, **({"others": rest} if rest else {})}, out)


def write_weights(stats: DatasetStats, method: WeightMethod, out: str | Path) -> None:
    """Write the weights of the classes as a JSON list, as MMSegmentation's losses read it.

    Raises:
        DataError: There are no labels.
        OutputError: It cannot be written.
    """
    if stats.classes is None:
        raise DataError(
            "there are no labels to weigh classes by", where=stats.title, fix="name a config"
        )
    _write_json(list(stats.classes.weights[method]), out)


def _of_windows(key: str, dataset: Any, bands: Sequence[int] | None) -> DatasetStats:
    paths = [info["img_path"] for info in dataset.raster_infos()]
    with progress_bar(f"pixels of {key}") as tick:
        stats = compute_band_stats(paths, bands=bands or dataset.bands, progress=tick)
    classes = None
    if dataset.labels is not None:
        index = dataset.frequency_index()
        ignored = stats.pixels - int(index.totals.sum())
        classes = _class_stats(dataset, index.totals, index.in_reach, ignored)
    return DatasetStats(f"{key} ({len(paths)} rasters)", stats, classes)


def _of_files(key: str, dataset: Any, bands: Sequence[int] | None) -> DatasetStats:
    infos = {
        (info.get("img_path"), info.get("seg_map_path")): info
        for info in map(dataset.get_data_info, range(len(dataset)))
    }
    paths = sorted({image for image, _ in infos})
    with progress_bar(f"pixels of {key}") as tick:
        stats = compute_band_stats(paths, bands=bands, progress=tick)
    transforms = list(getattr(getattr(dataset, "pipeline", None), "transforms", []))
    reader = LabelReader(dataset, transforms)
    classes = None
    if reader.steps:
        counted: list[Counter] = []
        with progress_bar(f"labels of {key}") as tick:
            for done, info in enumerate(infos.values(), 1):
                counted.append(_train_ids(reader, info))
                tick(done, len(infos))
        pixels = np.array(
            [[count[i] for i in range(reader.num_classes)] for count in counted], dtype=np.int64
        )
        reach = ((pixels > 0) * pixels.sum(axis=1, keepdims=True)).sum(axis=0)
        ignored = sum(count[reader.ignore_index] for count in counted)
        classes = _class_stats(dataset, pixels.sum(axis=0), reach, ignored)
    return DatasetStats(f"{key} ({len(paths)} images)", stats, classes)


def _train_ids(reader: LabelReader, info: dict) -> Counter:
    facts = reader.read(info)
    for finding in facts.findings:
        if finding.level == "error":
            raise finding.error
    counts: Counter = Counter()
    for (_, train), pixels in facts.counts.items():
        counts[train] += pixels
    return counts


def _class_stats(dataset: Any, pixels: Any, reach: Any, ignored: int) -> ClassStats:
    names = tuple(dataset.metainfo["classes"])
    if not pixels.any():
        raise DataError(
            "no labelled pixel at all",
            where=dataset.get_data_info(0).get("seg_map_path"),
            fix="check the labels, their nodata value and the area",
        )
    palette = dataset.metainfo.get("palette") or default_palette(len(names))
    return ClassStats(
        names,
        tuple(int(count) for count in pixels),
        int(ignored),
        {
            method: tuple(float(w) for w in class_weights(pixels, method, in_reach=reach))
            for method in METHODS
        },
        tuple((int(r), int(g), int(b)) for r, g, b in palette),
    )


def _plain(stats: DatasetStats) -> dict[str, Any]:
    classes = None if stats.classes is None else asdict(stats.classes)
    return {"title": stats.title, "band_stats": asdict(stats.bands), "classes": classes}


def _write_json(content: Any, out: str | Path) -> None:
    try:
        with atomic_path(out) as temporary:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=out) from error
