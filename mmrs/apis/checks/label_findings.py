"""What the labels of one data set tell together, beyond what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmrs.apis.checks.findings import Finding
from mmrs.apis.checks.label_reader import LabelFacts
from mmrs.apis.checks.label_table import LabelTable
from mmrs.apis.checks.raster_label_reader import is_windowed
from mmrs.errors import LabelError


class LabelFindings:
    """Collects what label files hold: ``add`` for each, then ``closing``, then ``absent``.

    Args:
        table: Counts the labels of the data set.
        dataset: The data set.
        steps: The steps that make its labels from files.
    """

    def __init__(self, table: LabelTable, dataset: Any, steps: list[Any]) -> None:
        self.table = table
        self.dataset = dataset
        self.steps = steps
        self._ids: dict[str, frozenset[int]] = {}
        self._mapped: list[set[int]] = []

    def add(self, path: str, label: LabelFacts) -> None:
        """Count what one file showed."""
        self.table.add_counts(label.counts)
        self._ids[path] = label.ids
        for index, ids in enumerate(label.mapped):
            if index == len(self._mapped):
                self._mapped.append(set())
            self._mapped[index] |= ids

    def closing(self) -> Iterator[Finding]:
        """What the files read show together; complete only once all are read."""
        if self.table.files:
            yield from self._encoding()
            yield from self._zero_label()
            yield from self._label_maps()

    def absent(self) -> Iterator[Finding]:
        """Classes without a pixel, once all files are read."""
        if not self.table.files:
            return
        seen = {train for _, train in self.table.counts}
        for index, name in enumerate(self.table.classes):
            if index not in seen:
                error = LabelError(
                    f"class {index} ({name}) has no pixel in {self.table.files} label files",
                    where=self.table.key,
                    fix="its score will be absent; leave it out of the mean, or add data",
                )
                yield Finding("absent", "note", error)

    def _encoding(self) -> Iterator[Finding]:
        """Masks of 0 and 255: 255 is ignored, so the class that they mark does not exist."""
        table = self.table
        ignored = {value for value, train in table.counts if train == table.ignore_index}
        if 255 not in ignored or len(table.classes) < 2 or self._names_255():
            return
        raw = {value for value, _ in table.counts}
        name = table.classes[1]
        fix = "map them: dict(type='mmrs.MapLabels', label_map={255: 1}) after LoadAnnotations"
        if is_windowed(self.dataset):
            fix = "map them: set label_map={255: 1} of the data set"
        fix += "; if they mean no data, say so by {255: 255}"
        if not raw - {0, 255}:
            error = LabelError(
                f"the {table.files} label files read hold only "
                f"{' and '.join(map(str, sorted(raw)))}, and 255 is ignored, so class 1 ({name}) "
                "has no pixel",
                where=f"{table.key} ({next(iter(self._ids))})",
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

    def _names_255(self) -> bool:
        """Whether the config itself says what 255 becomes."""
        named = [getattr(step, "label_map", None) for step in (*self.steps, self.dataset)]
        return any(isinstance(one, Mapping) and 255 in one for one in named)

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
        maps = [s for s in self.steps if type(s).__name__ == "MapLabels"]
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
                        where=f"{self.table.key}: mmrs.MapLabels",
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
            where=f"{self.table.key}: mmrs.MapLabels",
            fix=f"write {old - 1} if the files' id {old} is meant",
        )
        yield Finding("zero label", "note", error)


def raw_of(paths: list[str], ids: Mapping[str, frozenset[int]]) -> set[int]:
    """Ids of some files together."""
    return set().union(*(ids[path] for path in paths))
