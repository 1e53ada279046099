"""One data set of a config: what only all of its files together tell."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log

from mmrs.apis.checks.channel_findings import expected_channels
from mmrs.apis.checks.data_files import missing_files, no_files
from mmrs.apis.checks.findings import Finding
from mmrs.apis.checks.image_check import BandSums
from mmrs.apis.checks.label_findings import LabelFindings
from mmrs.apis.checks.label_table import empty_table
from mmrs.apis.checks.pair_check import PairChecker, PairResult
from mmrs.apis.checks.raster_label_reader import is_windowed, rasters_of
from mmrs.apis.config.config_classes import no_classes
from mmrs.apis.guarded_pipeline import GuardedPipeline, check_of
from mmrs.errors import ConfigError, DataError, MmrsError


@dataclass(frozen=True)
class SeenPair:
    """One pair that was read, as the contact sheet chooses by it.

    Attributes:
        info: The sample.
        classes: Train id -> pixels.
        has_error: Whether it has a finding that is an error.
    """

    info: dict
    classes: Counter
    has_error: bool

    def share(self, train: int | None) -> float:
        """Share of the pixels that have a train id."""
        return self.classes[train] / max(1, sum(self.classes.values()))


class SetCheck:
    """Checks one data set: ``opening``, then each pair given to ``add``, then ``closing``.

    Args:
        key: Its place in the config.
        dataset: The data set, built.
        cfg: The whole config, which may have no model.

    Attributes:
        pairs: Its samples, each pair of files once, in an order that is even over the set with
            the first sample first.
        checker: Looks at one pair.
        table: The labels counted so far; None where the data set has none.
        labels: What they tell together; likewise.
        kinds: Number of images of each kind.
        sums: Band sums of each kind of image.
        read: Number of pairs that were read.
        seen: Those pairs; of large rasters, windows of them.
    """

    def __init__(self, key: str, dataset: Any, cfg: Config) -> None:
        self.key = key
        self.dataset = dataset
        self.channels = expected_channels(cfg)
        # segmentors have a head of classes; so have those inside a wrapper for augmented tests
        model = cfg.get("model") or {}
        self.trains_without_labels = "backbone" in model and "decode_head" not in model
        self.transforms = list(getattr(getattr(dataset, "pipeline", None), "transforms", []))
        self.checker = PairChecker(dataset, self.transforms)
        steps = self.checker.reader.steps
        self.table = empty_table(key, dataset) if steps else None
        self.labels = None if self.table is None else LabelFindings(self.table, dataset, steps)
        self.pairs: list[dict] = []
        self.read = 0
        self.seen: list[SeenPair] = []
        self.sums: dict[str, BandSums] = {}
        self._kinds: dict[str, PairResult] = {}
        self.kinds: Counter[str] = Counter()
        self._with_place = 0
        self._without_place: list[str] = []

    def opening(self) -> list[Finding]:
        """Whether there is anything to read, and all that is listed is there."""
        if len(self.dataset) == 0:
            return [Finding("data set", "error", no_files(self.key, self.dataset))]
        named = (getattr(self.dataset, "metainfo", None) or {}).get("classes")
        if not named and self.trains_without_labels:
            print_log(f"{self.key}: no class names; pre-training needs no labels", "current")
        elif not named:
            error = no_classes(type(self.dataset).__name__, self.key)
            return [Finding("data set", "error", error)]
        windowed = is_windowed(self.dataset)
        pairs = rasters_of(self.dataset) if windowed else _each_once(self.dataset)
        self.pairs = _spread(list(pairs))
        if self.table is not None:
            self.table.total = len(self.pairs)
        if windowed:
            return []  # it has opened every file when it was built
        return [
            Finding("no label", "error", error)
            for error in missing_files(self.key, self.dataset, labels=self.checker.reads_labels)
        ]

    def add(self, result: PairResult) -> None:
        """Count what one pair showed."""
        self.read += 1
        self.seen += _seen(result)
        if result.image is not None:
            kind = result.image.kind
            self.kinds[kind] += 1
            if self._kinds.setdefault(kind, result).has_error and not result.has_error:
                self._kinds[kind] = result
            if result.image.keeps_place and result.image.georeference.is_missing:
                self._without_place.append(result.info["img_path"])
            elif result.image.keeps_place:
                self._with_place += 1
        if result.decoded is not None and result.decoded.sums is not None:
            known = self.sums.setdefault(result.image.kind, BandSums(len(result.decoded.sums.sums)))
            known.add(result.decoded.sums)
        label = result.label
        if label is not None and label.counts and self.labels is not None:
            self.labels.add(result.info["seg_map_path"], label)

    def closing(self) -> Iterator[Finding]:
        """What the pairs show together; complete only once all are read."""
        yield from self._mixed_kinds()
        if self.labels is not None:
            yield from self.labels.closing()
        yield from self._pipeline()
        yield from self._gaps_of_place()
        if self.labels is not None and self.read == len(self.pairs):
            yield from self.labels.absent()

    def _mixed_kinds(self) -> Iterator[Finding]:
        if len(self.kinds) < 2:
            return
        usual = self.kinds.most_common(1)[0][0]
        tolerant = getattr(self.checker.loader, "color_type", "") == "color"
        for kind, count in self.kinds.items():
            if kind == usual:
                continue
            result = self._kinds[kind]
            if any(finding.kind == "bands" for finding in result.findings):
                continue  # told already, file by file
            more = f" (and {count - 1} more)" if count > 1 else ""
            error = DataError(
                f"{kind}{more}, but {self.kinds[usual]} other images have {usual}",
                where=result.info["img_path"],
                fix="bring all images of a data set to the same bands and type",
            )
            yield Finding("bands", "warning" if tolerant else "error", error)

    def _pipeline(self) -> Iterator[Finding]:
        """Run the whole pipeline on one image of each kind."""
        for result in self._kinds.values():
            if result.has_error or self._lacks_label(result):
                continue
            try:
                packed = self._packed(result.info)
            except MmrsError as error:
                yield Finding("pipeline", "error", error)
                continue
            yield from self._channels(packed, result)
        if not self._kinds and self.pairs:  # nothing to look at but the pipeline itself
            try:
                self._packed(self.pairs[0])
            except MmrsError as error:
                yield Finding("pipeline", "error", error)

    def _lacks_label(self, result: PairResult) -> bool:
        """Whether its label is not there, which is told as such."""
        path = result.info.get("seg_map_path")
        return self.checker.reads_labels and isinstance(path, str) and not os.path.isfile(path)

    def _packed(self, info: dict) -> Any:
        """Return a sample as a worker makes it."""
        pipeline = GuardedPipeline(self.transforms, check=check_of(self.dataset))
        loads = hasattr(self.dataset, "load_sample")  # which then has no loading steps
        return pipeline(self.dataset.load_sample(0) if loads else _fresh(info))

    def _channels(self, packed: Any, result: PairResult) -> Iterator[Finding]:
        inputs = packed.get("inputs") if isinstance(packed, Mapping) else None
        shape = getattr(inputs, "shape", ())
        for number, key in self.channels:
            if len(shape) == 3 and shape[0] != number:
                yield self._other_channels(number, key, int(shape[0]), result)
                return  # one mend serves all

    def _other_channels(self, number: int, key: str, found: int, result: PairResult) -> Finding:
        chosen = "dict(type='mmrs.LoadRaster', bands=[...])"
        if is_windowed(self.dataset):  # which loads by itself
            chosen = "bands=[...] of RasterSegDataset"
        error = ConfigError(
            f"it is for {number} channels, but {result.info['img_path']} "
            f"({result.image.kind}) gives {found}",
            where=key,
            fix=f"set {key} for {found} channels, or choose {number} bands: {chosen}",
        )
        return Finding("bands", "error", error)

    def _gaps_of_place(self) -> Iterator[Finding]:
        """Some images say where they lie, others of the same format do not."""
        without = self._without_place
        if without and self._with_place:
            more = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
            error = DataError(
                f"has no CRS and grid{more}, but {self._with_place} other images have",
                where=without[0],
                fix="copy them from the original (gdal_edit.py -a_srs ... -a_ullr ...)",
            )
            yield Finding("crs", "warning", error)


def _seen(result: PairResult) -> Iterator[SeenPair]:
    label = result.label
    parts = [(None, label.counts if label else Counter())]
    if label is not None and label.parts:
        parts = label.parts
    for window, counts in parts:
        classes: Counter[int] = Counter()
        for (_, train), pixels in counts.items():
            classes[train] += pixels
        info = result.info if window is None else {**result.info, "window": tuple(window)}
        yield SeenPair(info, classes, result.has_error and window is None)


def _each_once(dataset: Any) -> Iterator[dict]:
    """Samples of a data set, but those of the same files (rotations, repeats) once."""
    seen = set()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        files = (info.get("img_path"), info.get("seg_map_path"))
        if files not in seen:
            seen.add(files)
            yield info


def _spread(pairs: list[dict]) -> list[dict]:
    """The first sample, then the others in an order that is even over the folder."""
    order = 1 + np.random.default_rng(0).permutation(len(pairs) - 1)
    return [pairs[0], *(pairs[index] for index in order)]


def _fresh(info: dict) -> dict:
    # transforms append to seg_fields in place
    return {key: list(v) if isinstance(v, list) else v for key, v in info.items()}
