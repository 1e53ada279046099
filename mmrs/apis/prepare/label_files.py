"""Label files of any encoding, window by window, as ids; the rest is told or counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.prepare.job import IGNORED_ID, LabelRule
from mmrs.errors import LabelError
from mmrs.geo.palette_codec import PaletteCodec, Rgb, count_colours
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window


class LabelFile:
    """A label raster opened for reading as ids; use it in a ``with`` block.

    Args:
        path: The file.
        rule: How its pixels become ids.
        name: What messages call it.

    Attributes:
        raster: The opened raster.
        unknown: Pixels of colours that no class has; each part read adds to them.
        pixels: How many were looked at for them.
        values: Values found in a file of one band; each window read adds to them.

    Raises:
        DataError: It is no raster.
        LabelError: It has colours and the rule has none, or it holds no whole numbers.
    """

    def __init__(self, path: Path, rule: LabelRule, name: str) -> None:
        self.raster = Raster(path)
        self.name = name
        self.rule = rule
        self.unknown: Counter[Rgb] = Counter()
        self.pixels = 0
        self.values: set[int] = set()
        table = None if rule.by_value or not rule.colours else read_colour_table(self.raster)
        self._table = table
        self._codec: PaletteCodec | None = None
        is_picture = self.raster.count >= 3
        if self._table is not None or (is_picture and rule.threshold is None):
            if is_picture:
                check_colour_type(self.raster, name)
            if not rule.colours:
                raise self._asks_for_colours()
            self._codec = _codec(rule)
        if self._codec is None:
            self._check_type()

    def __enter__(self) -> LabelFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.raster.close()

    def read(self, window: Window, own: tuple[slice, slice] | None = None) -> NDArray[np.uint8]:
        """Ids of a window, (h, w).

        Args:
            window: The window.
            own: Its rows and columns in which unknown colours count; all by default. Windows may
                overlap.

        Raises:
            DataError: The file is damaged there.
            LabelError: A value is no id.
        """
        return self.decode(self.raster.read(window), window, own)

    def decode(
        self,
        pixels: NDArray[Any],
        window: Window,
        own: tuple[slice, slice] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.uint8]:
        """Ids of what was read of a window, (h, w).

        Args:
            pixels: (h, w, bands) of the file.
            window: Where they lie, for messages.
            own: As `read`.
            valid: (h, w), where there is a label; everywhere by default.

        Raises:
            LabelError: A value is no id.
        """
        valid = np.ones(pixels.shape[:2], dtype=bool) if valid is None else valid
        if self._codec is None:
            return self._by_value(self._one_band(pixels), window, valid)
        rgb = pixels[..., :3] if self._table is None else self._table[pixels[..., 0]]
        labels, unknown = self._codec.decode(rgb)
        own = own or (slice(None), slice(None))
        self.pixels += int(np.count_nonzero(valid[own]))
        labels[~valid] = self.rule.ignore
        unknown &= valid
        if unknown[own].any():
            # a value that is declared to be no data is not unknown
            counted = unknown & ~self._no_data(pixels)
            self.unknown.update(count_colours(rgb[own], counted[own]))
        if self.rule.ignored_colours:
            labels[labels == IGNORED_ID] = self.rule.ignore
        return labels

    def check_unknown(self) -> None:
        """Refuse a file too much of which has colours of no class, of what was read.

        Raises:
            LabelError: With the colours, and the tolerance that would take them.
        """
        number, pixels = self.unknown.total(), self.pixels
        if number <= self.rule.max_unknown_ratio * pixels or self._codec is None:
            return
        needed = {colour: self._codec.needed_tolerance(colour) for colour in self.unknown}
        largest = min(max(needed.values()), self._codec.max_tolerance)
        left = sum(self.unknown[colour] for colour in needed if needed[colour] > largest)
        taken = f"all but {left}" if left else "all of them"
        fix = f"--tolerance {largest} takes {taken}, or --max-unknown-ratio 1 ignores them"
        if left == number:
            fix = "give the colours of this set, or --max-unknown-ratio 1 to ignore those pixels"
        raise LabelError(
            f"{number} of {pixels} pixels ({number / pixels:.1%}) have colours of no class: "
            f"{tell_colours(self.unknown)}",
            where=self.name,
            fix=fix,
        )

    def _one_band(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The first band of (h, w, bands): grey pictures hold it three times."""
        if self.raster.count > 1 and (pixels != pixels[..., :1]).any():
            raise LabelError(
                f"has {self.raster.count} bands that differ, so it is no grey picture",
                where=self.name,
                fix="leave --threshold out and give --palette NAME=R,G,B ...",
            )
        return pixels[..., 0]

    def _no_data(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """Where the file declares (h, w, bands) pixels to be no data, (h, w)."""
        nodata = self.raster.nodata
        if nodata is None or not self.rule.honours_nodata:
            return np.zeros(pixels.shape[:2], dtype=bool)
        found = np.isnan(pixels) if np.isnan(nodata) else pixels == nodata
        return np.asarray(found.all(axis=-1))

    def _by_value(
        self, raw: NDArray[Any], window: Window, valid: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        rule = self.rule
        hidden = self._no_data(raw[..., None])
        if self.raster.nodata in dict(rule.mapping):
            hidden[...] = False  # what the user names counts
        hidden |= ~valid
        labels = np.full(raw.shape, rule.ignore, dtype=np.uint8)
        if rule.threshold is not None:
            labels[~hidden] = raw[~hidden] >= rule.threshold
            return labels
        found = np.unique(raw[~hidden])
        if np.issubdtype(raw.dtype, np.floating):
            self._check_whole(np.where(hidden, raw.dtype.type(0), raw), found, window)
        self.values.update(int(value) for value in found)
        mapping = dict(rule.mapping)
        allowed = {*rule.allowed, rule.ignore}
        for value in found.tolist():
            label = mapping.get(int(value), int(value))
            if label not in allowed:
                raise self._strange_value(raw, value, window)
            labels[(raw == value) & ~hidden] = label
        return labels

    def _check_whole(self, raw: NDArray[Any], found: NDArray[Any], window: Window) -> None:
        broken = found[~np.isfinite(found) | (found != np.round(found))]
        if broken.size:
            row, col = np.argwhere(~np.isfinite(raw) | (raw != np.round(raw)))[0]
            raise LabelError(
                f"value {broken[0]} at (row {window.row + row}, col {window.col + col}) is no id",
                where=self.name,
                fix="give labels of whole numbers",
            )

    def _strange_value(self, raw: NDArray[Any], value: float, window: Window) -> LabelError:
        row, col = np.argwhere(raw == value)[0]
        rule = self.rule
        seen = sorted(self.values)
        what = (
            f"value {value:g} at (row {window.row + row}, col {window.col + col}), but ids are "
            f"{_ranges(rule.allowed)} and {rule.ignore} for ignored"
        )
        if set(seen) <= {0, 255} and 1 in rule.allowed:
            fix = "a binary mask of 0 and 255: --label-map 255:1"
        elif len(seen) > 20:
            fix = f"{len(seen)} values: if it is an anti-aliased binary mask, --threshold 128"
        else:
            fix = (
                f"map {value:g} with --label-map {value:g}:ID, or name all classes; values here: "
                f"{', '.join(map(str, seen[:20]))}"
            )
        return LabelError(what, where=self.name, fix=fix)

    def _check_type(self) -> None:
        if self.raster.count != 1 and self.rule.threshold is None:
            raise LabelError(
                f"has {self.raster.count} bands", where=self.name, fix="give one band of ids"
            )
        if np.dtype(self.raster.dtype).kind == "c":
            raise LabelError("holds complex numbers", where=self.name, fix="give whole numbers")

    def _asks_for_colours(self) -> LabelError:
        window = Window(0, 0, min(self.raster.height, 2048), min(self.raster.width, 2048))
        colours = count_colours(self.raster.read(window)[..., :3].astype(np.uint8))
        return LabelError(
            f"its labels are colours ({tell_colours(colours)}), and no colour map is given",
            where=self.name,
            fix="--palette NAME=R,G,B ... with one colour for each class",
        )


def check_colour_type(raster: Raster, name: str) -> None:
    """Refuse colours of more than a byte, which no palette names.

    Raises:
        LabelError: The raster is of another type.
    """
    if raster.dtype != "uint8":
        raise LabelError(
            f"its labels are colours of {raster.dtype}",
            where=name,
            fix="convert them to 8 bits (gdal_translate -ot Byte, with -scale 0 65535 0 255 where "
            "they go that far)",
        )


def read_colour_table(raster: Raster) -> NDArray[np.uint8] | None:
    """(256, 3) colours of a file with a palette; None for one without."""
    if raster.count != 1 or raster.dtype != "uint8":
        return None
    try:
        entries = raster.dataset.colormap(raster.bands[0])
    except ValueError:  # rasterio's way to say that there is none
        return None
    table = np.zeros((256, 3), dtype=np.uint8)
    for index, colour in entries.items():
        table[index] = colour[:3]
    return table


def tell_colours(colours: Counter[Rgb], most: int = 6) -> str:
    """The most frequent colours in words."""
    told = [f"{r},{g},{b} ({count} px)" for (r, g, b), count in colours.most_common(most)]
    more = len(colours) - len(told)
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _ranges(ids: tuple[int, ...]) -> str:
    if ids and ids == tuple(range(ids[0], ids[-1] + 1)):
        return f"{ids[0]}-{ids[-1]}" if len(ids) > 1 else str(ids[0])
    return ", ".join(map(str, ids))


_CODECS: dict[LabelRule, PaletteCodec] = {}


def _codec(rule: LabelRule) -> PaletteCodec:
    # its table has 16 MB: one for each rule, not for each file
    if rule not in _CODECS:
        _CODECS[rule] = rule.codec()
    return _CODECS[rule]
