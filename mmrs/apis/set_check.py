"""One data set of a config: what only all of its files together tell."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config

from mmrs.apis.config_classes import no_classes
from mmrs.apis.data_files import missing_files, no_files
from mmrs.apis.findings import Finding
from mmrs.apis.guarded_pipeline import GuardedPipeline, check_of
from mmrs.apis.image_check import BandSums
from mmrs.apis.label_table import empty_table
from mmrs.apis.pair_check import PairChecker, PairResult
from mmrs.apis.raster_label_reader import is_windowed, rasters_of
from mmrs.errors import ConfigError, DataError, LabelError, MmrsError


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
        kinds: Number of images of each kind.
        sums: Band sums of each kind of image.
        read: Number of pairs that were read.
        seen: Those pairs; of large rasters, windows of them.
    """

    def __init__(self, key: str, dataset: Any, cfg: Config) -> None:
        self.key = key
        self.dataset = dataset
        self.channels = expected_channels(cfg)
        self.transforms = list(getattr(getattr(dataset, "pipeline", None), "transforms", []))
        self.checker = PairChecker(dataset, self.transforms)
        self.table = empty_table(key, dataset) if self.checker.reader.steps else None
        self.pairs: list[dict] = []
        self.read = 0
        self.seen: list[SeenPair] = []
        self.sums: dict[str, BandSums] = {}
        self._kinds: dict[str, PairResult] = {}
        self.kinds: Counter[str] = Counter()
        self._ids: dict[str, frozenset[int]] = {}
        self._mapped: list[set[int]] = []
        self._with_place = 0
        self._without_place: list[str] = []

    def opening(self) -> list[Finding]:
        """Whether there is anything to read, and all that is listed is there."""
        if len(self.dataset) == 0:
            return [Finding("data set", "error", no_files(self.key, self.dataset))]
        if not (getattr(self.dataset, "metainfo", None) or {}).get("classes"):
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
        if label is not None and label.counts and self.table is not None:
            self.table.add_counts(label.counts)
            self._ids[result.info["seg_map_path"]] = label.ids
            for index, ids in enumerate(label.mapped):
                if index == len(self._mapped):
                    self._mapped.append(set())
                self._mapped[index] |= ids

    def closing(self) -> Iterator[Finding]:
        """What the pairs show together; complete only once all are read."""
        yield from self._mixed_kinds()
        if self.table is not None and self.table.files:
            yield from self._encoding()
            yield from self._zero_label()
            yield from self._label_maps()
        yield from self._pipeline()
        yield from self._gaps_of_place()
        if self.table is not None and self.read == len(self.pairs) and self.table.files:
            yield from self._absent()

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
        return pipeline(self.dataset.load_sample(0) if is_windowed(self.dataset) else _fresh(info))

    def _channels(self, packed: Any, result: PairResult) -> Iterator[Finding]:
        inputs = packed.get("inputs") if isinstance(packed, Mapping) else None
        shape = getattr(inputs, "shape", ())
        if self.channels is None or len(shape) != 3 or shape[0] == self.channels[0]:
            return
        number, key = self.channels
        error = ConfigError(
            f"it is for {number} channels, but {result.info['img_path']} "
            f"({result.image.kind}) gives {shape[0]}",
            where=key,
            fix=f"set {key} for {shape[0]} channels, or choose {number} bands: "
            "dict(type='mmrs.LoadRaster', bands=[...])",
        )
        yield Finding("bands", "error", error)

    def _encoding(self) -> Iterator[Finding]:
        """Masks of 0 and 255: 255 is ignored, so the class that they mark does not exist."""
        table = self.table
        ignored = {value for value, train in table.counts if train == table.ignore_index}
        if 255 not in ignored or len(table.classes) < 2:
            return
        raw = {value for value, _ in table.counts}
        name = table.classes[1]
        fix = "map them: dict(type='mmrs.MapLabels', label_map={255: 1}) after LoadAnnotations"
        if is_windowed(self.dataset):
            fix = "map them: set label_map={255: 1} of the data set"
        if not raw - {0, 255}:
            error = LabelError(
                f"the {table.files} label files read hold only "
                f"{' and '.join(map(str, sorted(raw)))}, and 255 is ignored, so class 1 ({name}) "
                "has no pixel",
                where=f"{table.key} ({self.pairs[0]['seg_map_path']})",
                fix=fix + (", and reduce_zero_label=False" if table.reduce_zero_label else ""),
            )
            yield Finding("encoding", "error", error)
            return
        with_255 = [path for path, ids in self._ids.items() if 255 in ids and ids <= {0, 255}]
        with_1 = [path for path, ids in self._ids.items() if 1 in ids]
        if len(table.classes) == 2 and with_255 and with_1 and 255 not in raw_of(with_1, self._ids):
            error = LabelError(
                f"it marks by 255 (as {len(with_255)} of {len(self._ids)} files do), which is "
                f"ignored, where others mark {name} by 1, such as {with_1[0]}",
                where=with_255[0],
                fix=fix,
            )
            yield Finding("encoding", "warning", error)

    def _zero_label(self) -> Iterator[Finding]:
        """Ids 0 .. n-1 under ``reduce_zero_label``: class 0 is lost, the last is never seen."""
        table = self.table
        raw = {value for value, _ in table.counts if value not in (None, 255)}
        count = len(table.classes)
        if table.reduce_zero_label and raw and 0 in raw and max(raw) == count - 1 and count > 1:
            lost = sum(n for (value, _), n in table.counts.items() if value == 0)
            error = LabelError(
                f"reduce_zero_label=True ignores id 0 ({lost} pixels) and moves the others down, "
                f"but the files hold ids 0 to {count - 1} for {count} classes, so class "
                f"{count - 1} ({table.classes[-1]}) has no pixel",
                where=table.key,
                fix="set reduce_zero_label=False, unless 0 means no data in these files",
            )
            yield Finding("zero label", "warning", error)

    def _label_maps(self) -> Iterator[Finding]:
        """A map that names ids as they are in the files, after they have been moved."""
        maps = [s for s in self.checker.reader.steps if type(s).__name__ == "MapLabels"]
        raw = {value for value, _ in self.table.counts}
        for step, came in zip(maps, self._mapped, strict=False):
            for old in step.label_map:
                if old in raw and old not in came:
                    why = (
                        "reduce_zero_label=True has moved it before"
                        if self.table.reduce_zero_label
                        else "a step before has changed it"
                    )
                    error = LabelError(
                        f"label_map names id {old}, which the files hold, but {why}: the map "
                        "never meets it",
                        where=f"{self.key}: mmrs.MapLabels",
                        fix=f"name the id that it has by then, {old - 1}, or set "
                        "reduce_zero_label=False and map all ids"
                        if self.table.reduce_zero_label and old
                        else "name the ids as they are at that step",
                    )
                    yield Finding("zero label", "error", error)
                elif self.table.reduce_zero_label and {old, old + 1} <= raw and old:
                    yield from self._map_off_by_one(step, old)

    def _map_off_by_one(self, step: Any, old: int) -> Iterator[Finding]:
        """The map meets an id, but another than the file's of that number."""
        error = LabelError(
            f"label_map comes after reduce_zero_label=True: its id {old} is id {old + 1} in the "
            f"files, and becomes {step.label_map[old]}",
            where=f"{self.key}: mmrs.MapLabels",
            fix=f"write {old - 1} if the files' id {old} is meant",
        )
        yield Finding("zero label", "note", error)

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

    def _absent(self) -> Iterator[Finding]:
        seen = {train for _, train in self.table.counts}
        for index, name in enumerate(self.table.classes):
            if index not in seen:
                error = LabelError(
                    f"class {index} ({name}) has no pixel in {self.table.files} label files",
                    where=self.key,
                    fix="its score will be absent; leave it out of the mean, or add data",
                )
                yield Finding("absent", "note", error)


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


def raw_of(paths: list[str], ids: Mapping[str, frozenset[int]]) -> set[int]:
    """Ids of some files together."""
    return set().union(*(ids[path] for path in paths))


def expected_channels(cfg: Config) -> tuple[int, str] | None:
    """How many channels the model of a config takes, and the key that says so."""
    model = cfg.get("model")
    if not isinstance(model, Mapping):
        return None
    for key, settings in (
        ("model.data_preprocessor", model.get("data_preprocessor")),
        ("data_preprocessor", cfg.get("data_preprocessor")),
    ):
        mean = settings.get("mean") if isinstance(settings, Mapping) else None
        if mean is not None and len(mean) > 1:
            return len(mean), f"{key}.mean"
    backbone = model.get("backbone")
    number = backbone.get("in_channels") if isinstance(backbone, Mapping) else None
    return (number, "model.backbone.in_channels") if isinstance(number, int) else None


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
