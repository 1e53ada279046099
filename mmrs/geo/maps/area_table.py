"""Areas of the classes of a map, counted as its rows come."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prettytable import PrettyTable

from mmrs.errors import LabelError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.disk_space import write_error
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.pixel_area import PixelAreas
from mmrs.geo.polygons.region_sums import area_of_runs
from mmrs.geo.polygons.runs import find_runs

COLUMNS = ("class_id", "class", "pixels", "area_m2", "area_ha", "area_km2", "share_of_valid")
_PER_HA, _PER_KM2 = 1e4, 1e6


class AreaTable:
    """Counts the pixels of each class, and their area where it is known.

    Args:
        classes: Names, in the order of the indices.
        areas: Of the map's pixels; None leaves areas out.

    Attributes:
        classes: The names.
        method: How areas are known, in words; None where they are not.
        rows: Rows counted so far.
    """

    def __init__(self, classes: Sequence[str], *, areas: PixelAreas | None = None) -> None:
        self.classes = tuple(classes)
        self.method = None if areas is None else areas.method
        self.rows = 0
        self._areas = areas
        self._counts = np.zeros(256, dtype=np.int64)
        self._square_metres = np.zeros(256)

    def push(self, labels: NDArray[np.uint8]) -> None:
        """Count the next rows.

        Args:
            labels: (n, W) class indices, 255 where there is none.

        Raises:
            LabelError: A label is no class.
        """
        if not labels.size:
            return
        if self._areas is None:
            counts = np.bincount(labels.reshape(-1), minlength=256)
        else:
            by_row = np.stack([np.bincount(row, minlength=256) for row in labels])
            counts = by_row.sum(axis=0)
            pixel_m2 = self._areas.of_pixels(self.rows, len(labels))
            if pixel_m2.ndim == 1:
                self._square_metres += pixel_m2 @ by_row
            else:
                runs = find_runs(labels)
                areas = area_of_runs(runs, labels.shape[1], pixel_m2)
                self._square_metres += np.bincount(runs.labels, weights=areas, minlength=256)
        wrong = np.flatnonzero(counts[len(self.classes) : NODATA_LABEL])
        if len(wrong):
            raise LabelError(
                f"label {wrong[0] + len(self.classes)} occurs, but there are "
                f"{len(self.classes)} classes",
                fix="name every class",
            )
        self._counts += counts
        self.rows += len(labels)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Pixels of each class, (K,)."""
        return self._counts[: len(self.classes)].copy()

    @property
    def nodata_pixels(self) -> int:
        """Pixels without a class."""
        return int(self._counts[NODATA_LABEL])

    @property
    def area_m2(self) -> NDArray[np.float64] | None:
        """Area of each class, (K,), or None."""
        return None if self._areas is None else self._square_metres[: len(self.classes)].copy()

    @property
    def nodata_m2(self) -> float | None:
        """Area without a class, or None."""
        return None if self._areas is None else float(self._square_metres[NODATA_LABEL])

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each class in the area with a class (in its pixels where no area is known).

        (K,); NaN where no pixel has a class.
        """
        parts = self.pixels.astype(np.float64) if self.area_m2 is None else self.area_m2
        total = parts.sum()
        return parts / total if total > 0 else np.full(len(parts), np.nan)

    def text(self) -> str:
        """The table for people, with the method."""
        known = self._areas is not None
        table = PrettyTable(["class", "pixels", *(("m²", "ha", "km²") if known else ()), "share"])
        table.align = "r"
        table.align["class"] = "l"
        for name, pixels, square_metres, share in self._lines():
            cells = [name, pixels]
            if square_metres is not None:
                cells += [
                    f"{square_metres:.1f}",
                    f"{square_metres / _PER_HA:.4f}",
                    f"{square_metres / _PER_KM2:.6f}",
                ]
            told = share is not None and np.isfinite(share)
            table.add_row([*cells, f"{100 * share:.2f} %" if told else ""])  # type: ignore[operator]
        method = self.method or "not known: the map has no CRS or grid"
        return f"{table.get_string()}\nareas: {method}; shares are of the area with a class"

    def csv_text(self) -> str:
        """The table for programs: columns as in ``COLUMNS``, the full precision of numbers."""
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        ids = [*range(len(self.classes)), NODATA_LABEL, ""]
        for index, (name, pixels, square_metres, share) in zip(ids, self._lines(), strict=True):
            areas = ["", "", ""]
            if square_metres is not None:
                areas = [f"{square_metres / unit:.12g}" for unit in (1.0, _PER_HA, _PER_KM2)]
            told = share is not None and np.isfinite(share)
            writer.writerow([index, name, pixels, *areas, f"{share:.12g}" if told else ""])
        return buffer.getvalue()

    def write_csv(self, path: str | Path) -> None:
        """Write the table, which appears whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        with atomic_path(path) as temporary:
            self.write_into(temporary, Path(path))

    def write_into(self, temporary: Path, target: Path) -> None:
        """As ``write_csv``, for callers that rename the file themselves.

        Args:
            temporary: Where to.
            target: What it will become, for the messages.

        Raises:
            OutputError: It cannot be written, or reads back other than it was written.
        """
        data = self.csv_text().encode()
        try:
            temporary.write_bytes(data)
            is_same = temporary.read_bytes() == data
        except OSError as error:
            raise write_error(target, error, needed=len(data)) from error
        if not is_same:
            raise OutputError("reads back other than it was written", where=target)

    def _lines(self) -> list[tuple[str, int, float | None, float | None]]:
        """(name, pixels, m², share) of each class, of nodata, and of the classes together."""
        count = len(self.classes)
        known = self._areas is not None
        lines: list[tuple[str, int, float | None, float | None]] = [
            (
                name,
                int(self._counts[index]),
                float(self._square_metres[index]) if known else None,
                float(self.shares[index]),
            )
            for index, name in enumerate(self.classes)
        ]
        lines.append(("no data", self.nodata_pixels, self.nodata_m2, None))
        total = float(self._square_metres[:count].sum()) if known else None
        lines.append(("all classes", int(self._counts[:count].sum()), total, None))
        return lines
