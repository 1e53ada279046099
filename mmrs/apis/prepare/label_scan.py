"""A first look at all labels and images of a set: what they hold, before anything is written."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmrs.apis.checks.exif import exif_turn
from mmrs.apis.prepare.converter import shorten
from mmrs.apis.prepare.label_files import check_colour_type, read_colour_table, tell_colours
from mmrs.apis.prepare.opened import check_block
from mmrs.apis.prepare.options import Options
from mmrs.apis.prepare.pairs import Pair
from mmrs.apis.progress import progress_bar
from mmrs.errors import DataError, LabelError
from mmrs.geo.checksums import verify_png
from mmrs.geo.palette_codec import Rgb, count_colours
from mmrs.geo.raster import Raster
from mmrs.geo.source_file import SourceFile, fetch
from mmrs.geo.tile_files import png_can_hold
from mmrs.geo.windows import plan_windows

_BLOCK = 2048


@dataclass
class LabelScan:
    """What a set's files hold.

    Attributes:
        values: All values of labels with one band.
        colours: All colours of labels with three, and the first file that has some.
        nodata: Value that labels declare as nodata -> how many files; those in a label map aside.
        with_1: The first file that marks by 1.
        with_255: The first file that marks by 255 alone.
        has_both: Whether a file holds 1 and 255.
        turned: Images that their EXIF says to turn.
        image_suffix: Format that can hold the images.
        num_bands: Of the images.
        dtype: Of the images.
        skipped: Image -> why it cannot be used, where ``--skip-bad`` allows that.
    """

    values: set[int] = field(default_factory=set)
    colours: Counter[Rgb] = field(default_factory=Counter)
    nodata: Counter[int] = field(default_factory=Counter)
    with_1: str = ""
    with_255: str = ""
    has_both: bool = False
    turned: list[str] = field(default_factory=list)
    coloured_file: str = ""
    first_label: str = ""
    image_suffix: str = ".png"
    num_bands: int = 0
    dtype: str = ""
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def has_colours(self) -> bool:
        """Whether some labels are colours."""
        return bool(self.colours)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        turned = [
            f"{len(self.turned)} images are turned as their EXIF says, for labels are drawn on "
            f"what viewers show ({shorten(self.turned)})"
        ]
        return tuple(turned if self.turned else ()) + tuple(
            f"{files} label files declare {value} as nodata: ignored (--label-map={value}:ID, or "
            "gdal_edit.py -unsetnodata, makes it count)"
            for value, files in self.nodata.items()
        )

    def colours_error(self) -> LabelError:
        """The error of coloured labels without a palette."""
        grey = all(red == green == blue for red, green, blue in self.colours)
        return LabelError(
            f"labels are colours, {len(self.colours)} of them: {tell_colours(self.colours)}",
            where=self.coloured_file,
            fix="--palette NAME=R,G,B ... with a colour for each class (and ignore=R,G,B)"
            + ("; --threshold 128 if they are grey binary masks" if grey else ""),
        )

    def two_marks_error(self) -> LabelError:
        """The error of binary masks some of which mark by 1 and some by 255."""
        return LabelError(
            f"it marks by 255 where others mark by 1, such as {self.with_1}",
            where=self.with_255,
            fix="--label-map 255:1 if both mean the class, 255:255 if 255 is to be ignored",
        )

    def too_many_values(self) -> LabelError:
        """The error of an anti-aliased mask."""
        return LabelError(
            f"labels hold {len(self.values)} values from {min(self.values)} to {max(self.values)}",
            where=self.first_label,
            fix="--threshold 128 if they are anti-aliased binary masks; else --label-map",
        )

    def gaps_error(self, suggested: str) -> LabelError:
        """The error of ids that do not begin at 0, or leave most numbers out."""
        told = ", ".join(map(str, sorted(self.values)[:20]))
        return LabelError(
            f"labels hold {told}, and ids count from 0 without gaps",
            where=self.first_label,
            fix=f"--label-map {suggested}"
            + (" (255 is ignored unless it is mapped as well)" if 255 in self.values else ""),
        )

    def too_few_classes(self, count: int, suggested: str) -> LabelError:
        """The error of ids beyond the classes that are named."""
        told = ", ".join(map(str, sorted(self.values)[:20]))
        return LabelError(
            f"labels hold {told}, but {count} classes are named (0-{count - 1})",
            where=self.first_label,
            fix=f"name more classes, or --label-map {suggested}",
        )


def scan_labels(pairs: Sequence[Pair], options: Options) -> LabelScan:
    """Look at every file once.

    Raises:
        DataError: One cannot be read, sizes differ, or images differ in bands or type.
    """
    scan = LabelScan()
    kinds: dict[tuple[int, str], str] = {}
    with tempfile.TemporaryDirectory() as scratch, progress_bar("look at labels") as show:
        for index, pair in enumerate(pairs):
            try:
                kind = _look(pair, scan, options, Path(scratch))
            except DataError as error:
                if not options.skip_bad:
                    raise
                scan.skipped[pair.image.name] = str(error)
                continue
            kinds.setdefault(kind, pair.image.where)
            show(index + 1, len(pairs))
    if not kinds:
        raise DataError("no pair can be used", where=pairs[0].image.where if pairs else None)
    if len(kinds) > 1:
        (first, one), (second, other) = list(kinds.items())[:2]
        raise DataError(
            f"has {second[0]} bands of {second[1]}, but {one} has {first[0]} of {first[1]}",
            where=other,
            fix="prepare them as two sets, or choose --bands that all have",
        )
    scan.num_bands, scan.dtype = next(iter(kinds))
    if not png_can_hold(scan.num_bands, scan.dtype):
        scan.image_suffix = ".tif"
    return scan


def _look(pair: Pair, scan: LabelScan, options: Options, scratch: Path) -> tuple[int, str]:
    with fetch(pair.image, scratch) as path, _opened(path, pair.image) as image:
        if options.bands and max(options.bands) > image.count:
            raise DataError(
                f"band {max(options.bands)} is asked for, and it has {image.count}",
                where=pair.image.where,
                fix="choose other --bands",
            )
        count = len(options.bands) if options.bands else image.count
        if read_colour_table(image) is not None:
            count = 3
        kind = (count, image.dtype)
        if image.georeference.transform is None and exif_turn(path) > 1:
            scan.turned.append(pair.image.name)
    if pair.label is not None:
        scan.first_label = scan.first_label or pair.label.where
        with fetch(pair.label, scratch) as path, _opened(path, pair.label) as label:
            _look_at_label(label, pair.label.where, scan, options)
    return kind


def _look_at_label(label: Raster, name: str, scan: LabelScan, options: Options) -> None:
    is_coloured = label.count >= 3
    if is_coloured and options.threshold is None:
        check_colour_type(label, name)
    nodata = None if is_coloured or label.nodata in dict(options.label_map or ()) else label.nodata
    if nodata is not None and not np.isnan(nodata):
        scan.nodata[int(nodata)] += 1
    if (is_coloured and options.palette) or options.threshold is not None:
        return
    values: set[int] = set()
    for window in plan_windows(label.height, label.width, _BLOCK, _BLOCK):
        pixels = label.read(window)
        if is_coloured:
            scan.coloured_file = scan.coloured_file or name
            scan.colours.update(count_colours(pixels[..., :3].astype(np.uint8)))
        else:
            found = np.unique(pixels)
            if np.issubdtype(found.dtype, np.floating):
                found = found[np.isfinite(found)]
            values.update(int(value) for value in found if value != nodata)
    scan.values |= values
    if 1 in values:
        scan.with_1, scan.has_both = scan.with_1 or name, scan.has_both or 255 in values
    elif 255 in values:
        scan.with_255 = scan.with_255 or name


def _opened(path: Path, file: SourceFile) -> Raster:
    verify_png(path, name=file.where)
    try:
        raster = Raster(path)
    except DataError as error:
        raise type(error)(error.what, where=file.where, fix=error.fix) from error
    check_block(raster, file.where)
    return raster
