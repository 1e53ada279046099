"""What the ids in label files become, counted; printed before training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prettytable import PrettyTable


@dataclass
class LabelTable:
    """What the ids in the label files become, over the files that were read.

    Attributes:
        key: The data set's place in the config.
        classes: Names, in id order.
        ignore_index: The train id of what does not count.
        reduce_zero_label: The data set's setting.
        files: Number of label files read.
        total: Number of label files there are.
        counts: (id in the file, train id) -> pixels; the first is None for colour pictures.
    """

    key: str
    classes: tuple[str, ...]
    ignore_index: int
    reduce_zero_label: bool
    total: int
    files: int = 0
    counts: Counter = field(default_factory=Counter)

    def add(self, raw: NDArray | None, labels: NDArray) -> None:
        """Count one file: its ids (H, W), None for a colour picture, and the train ids."""
        self.add_counts(count_ids(raw, labels))

    def add_counts(self, counts: Counter) -> None:
        """Count one file by what :func:`count_ids` found in it."""
        self.files += 1
        self.counts.update(counts)

    def text(self) -> str:
        """Return the table as it is printed before training."""
        table = PrettyTable(["id in file", "train id", "class", "pixels"])
        table.align = "r"
        table.align["class"] = "l"
        by_id = sorted(self.counts.items(), key=lambda item: (item[0][0] or 0, item[0][1]))
        for (raw, train), pixels in by_id:
            if train == self.ignore_index:
                name = "(ignored)"
            else:
                name = self.classes[train] if train < len(self.classes) else "(no class)"
            table.add_row(["colour" if raw is None else raw, train, name, pixels])
        seen = {train for _, train in self.counts}
        for index, name in enumerate(self.classes):
            if index not in seen:
                table.add_row(["-", index, name, 0])
        return (
            f"labels of {self.key} ({self.files} of {self.total} files read, "
            f"reduce_zero_label={self.reduce_zero_label}):\n{table.get_string()}"
        )


def count_ids(raw: NDArray | None, labels: NDArray) -> Counter:
    """(id in the file, train id) -> pixels of one file.

    Args:
        raw: (H, W) ids in the file; None for a colour picture, whose first id is None.
        labels: (H, W) train ids.
    """
    if raw is None or raw.shape != labels.shape:
        ids, pixels = np.unique(labels, return_counts=True)
        pairs: list[tuple[int | None, int]] = [(None, int(i)) for i in ids]
    elif raw.dtype == np.uint8 and labels.dtype == np.uint8:
        pixels = np.bincount((raw.astype(np.intp) << 8 | labels).ravel(), minlength=1)
        codes = np.flatnonzero(pixels)
        pixels = pixels[codes]
        pairs = [(int(code >> 8), int(code & 0xFF)) for code in codes]
    else:
        packed = (raw.astype(np.int64) << 16) | (labels.astype(np.int64) & 0xFFFF)
        codes, pixels = np.unique(packed, return_counts=True)
        pairs = [(int(code >> 16), int(code & 0xFFFF)) for code in codes]
    return Counter(dict(zip(pairs, pixels.tolist(), strict=True)))


def empty_table(key: str, dataset: Any) -> LabelTable | None:
    """Return a table to count a data set's labels into, or None where it names no classes."""
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    if not classes:
        return None
    return LabelTable(
        key=key,
        classes=tuple(classes),
        ignore_index=getattr(dataset, "ignore_index", 255),
        reduce_zero_label=bool(getattr(dataset, "reduce_zero_label", False)),
        total=len(dataset),
    )
