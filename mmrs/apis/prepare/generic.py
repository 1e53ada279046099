"""Your own images with masks of any encoding, or with polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.config_block import config_block
from mmrs.apis.prepare.converter import COLOURS, TILING, Converter
from mmrs.apis.prepare.divide import divide
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, Plan, PolygonLabels, Tiling
from mmrs.apis.prepare.label_scan import LabelScan, scan_labels
from mmrs.apis.prepare.options import Options
from mmrs.apis.prepare.pairs import Pair, find_pairs
from mmrs.apis.prepare.polygons import check_polygons
from mmrs.geo.palette import default_palette
from mmrs.geo.palette_codec import Rgb
from mmrs.geo.source_file import SourceFile

_TILE = 512
_IGNORE = 255


@dataclass(frozen=True)
class _Classes:
    names: tuple[str, ...]
    palette: tuple[Rgb, ...]
    rule: LabelRule
    notes: tuple[str, ...] = ()


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """``{img_dir,ann_dir}/{train,val}`` and a config block that reads them."""
    by_polygons = options.polygons is not None
    pairs, skipped = find_pairs(
        files, options, source, fix=CONVERTER.expects(), labels=not by_polygons
    )
    scan = scan_labels(pairs, options)
    skipped |= scan.skipped
    pairs = [pair for pair in pairs if pair.image.name not in scan.skipped]
    classes = _polygon_classes(options) if by_polygons else _mask_classes(options, scan)
    if len(set(classes.names)) < len(classes.names):
        raise UsageError(f"a class is named twice: {', '.join(classes.names)}")
    if options.format == "png" and scan.image_suffix != ".png":
        raise UsageError(
            f"--format png cannot hold {scan.num_bands} bands of {scan.dtype}",
            fix="leave it out, or choose --bands",
        )
    parts = divide(pairs, options)
    suffix = f".{options.format}" if options.format else scan.image_suffix
    tiling = options.tiling(tile=_TILE)
    jobs = tuple(_job(pair, parts[pair.stem], classes, tiling, suffix, options) for pair in pairs)
    used = sorted(set(parts.values()))
    block = config_block(
        classes=classes.names,
        palette=classes.palette,
        parts=used,
        image_suffix=suffix,
        tile=tiling.tile_px,
        bands=scan.num_bands if not options.bands else len(options.bands),
        dtype=scan.dtype,
    )
    return Plan(
        jobs=jobs,
        classes=dict(enumerate(classes.names)),
        ignore=_IGNORE,
        palette=dict(enumerate(classes.palette)),
        config="dataset.py beside the manifest is a config of this data set: name it in _base_",
        notes=(
            *classes.notes,
            *scan.notes,
            *_nothing_validates(used, options, alone=len(jobs) == 1),
        ),
        skipped=skipped,
        block=block,
    )


def _job(
    pair: Pair,
    part: str,
    classes: _Classes,
    tiling: Tiling,
    suffix: str,
    options: Options,
) -> ImageJob:
    label: SourceFile | PolygonLabels
    if options.polygons is not None:
        ids = tuple((name, index) for index, name in enumerate(classes.names))
        label = PolygonLabels(
            options.polygons, options.class_field, ids if options.class_field else (), 1, 0
        )
    elif pair.label is not None:
        label = pair.label
    else:
        raise UsageError("images without labels need --polygons")
    return ImageJob(
        id=pair.stem,
        split=part,
        image=pair.image,
        labels=(LabelJob(f"ann_dir/{part}", label),),
        image_folder=f"img_dir/{part}",
        stem=pair.stem,
        rule=classes.rule,
        tiling=tiling,
        image_suffix=suffix,
        bands=options.bands or (),
        reproject=bool(options.reproject),
    )


def _nothing_validates(parts: Sequence[str], options: Options, *, alone: bool) -> tuple[str, ...]:
    if set(parts) != {"train"} or options.split_ratio is not None:
        return ()
    if alone:
        return ("the one image trains, and none validates: images are divided, not their tiles",)
    return ("all images train, none validates; --split-ratio 0.2 takes a fifth of them for that",)


def _polygon_classes(options: Options) -> _Classes:
    names = options.classes or ("object",)
    if options.class_field is None and len(names) > 2:
        raise UsageError(
            f"{len(names)} classes and no --class-field", fix="name the polygons' attribute"
        )
    if names[0] != "background":
        names = ("background", *names)
    check_polygons(options, names)
    rule = LabelRule(allowed=tuple(range(len(names))), ignore=_IGNORE)
    return _Classes(names, _colours(len(names)), rule, ("pixels in no polygon are background",))


def _mask_classes(options: Options, scan: LabelScan) -> _Classes:
    unknown = options.max_unknown_ratio
    tolerance = options.tolerance or 0
    share = 0.01 if unknown is None else unknown
    if options.palette is not None:
        return _coloured_classes(options, tolerance, share)
    if scan.has_colours:
        raise scan.colours_error()
    if options.threshold is not None:
        names = options.classes or ("background", "object")
        rule = LabelRule(
            allowed=(0, 1),
            ignore=_IGNORE,
            by_value=True,
            threshold=options.threshold,
            honours_nodata=True,
        )
        return _Classes(_two(names), _colours(2), rule)
    mapping, notes = _mapping(options, scan)
    ids = sorted({mapping.get(value, value) for value in scan.values} - {_IGNORE})
    names = options.classes or tuple(f"class_{index}" for index in range((ids or [0])[-1] + 1))
    if len(names) > _IGNORE:
        raise scan.too_many_values()
    if not options.classes:
        notes.append(f"classes have no names: --classes NAME ... names the {len(names)} of them")
    rule = LabelRule(
        allowed=tuple(range(len(names))),
        ignore=_IGNORE,
        mapping=tuple(sorted(mapping.items())),
        by_value=True,
        tolerance=tolerance,
        max_unknown_ratio=share,
        honours_nodata=True,
    )
    return _Classes(tuple(names), _colours(len(names)), rule, tuple(notes))


def _mapping(options: Options, scan: LabelScan) -> tuple[dict[int, int], list[str]]:
    if options.label_map is not None:
        return dict(options.label_map), []
    if scan.values == {0, 255}:
        note = (
            "labels hold 0 and 255 only: 255 becomes class 1 (--label-map 255:1; "
            "--label-map 255:255 would ignore it)"
        )
        return {255: 1}, [note]
    if scan.values <= {0, 1, 255} and scan.with_1 and scan.with_255 and not scan.has_both:
        raise scan.two_marks_error()
    values = sorted(scan.values - {_IGNORE})
    names = len(options.classes) if options.classes else None
    if len(values) > 20 and values[-1] > 100:
        raise scan.too_many_values()
    begins_late = values and values[0] > 0
    has_holes = values and values[-1] >= max(20, 4 * len(values))
    if names is None and (begins_late or has_holes):
        # classes would be made that do not exist
        raise scan.gaps_error(_suggest(values))
    if names is not None and values and values[-1] >= names:
        raise scan.too_few_classes(names, _suggest(values))
    return {}, []


def _suggest(values: Sequence[int]) -> str:
    """A map from the values found to ids from 0 on."""
    if values[-1] <= 20:  # ids that begin at 1: one that no file here holds keeps its place
        head = "0:255 " if values[0] > 0 else ""
        shift = 1 if head else 0
        every = range(shift, values[-1] + 1)
        return head + " ".join(f"{value}:{value - shift}" for value in every)
    return " ".join(f"{value}:{index}" for index, value in enumerate(values))


def _coloured_classes(options: Options, tolerance: int, share: float) -> _Classes:
    if options.palette is None:
        raise UsageError("no palette")
    ignored = tuple(c for name, several in options.palette if name == "ignore" for c in several)
    named = [(name, several) for name, several in options.palette if name != "ignore"]
    names = tuple(name for name, _ in named)
    if options.classes and options.classes != names:
        raise UsageError("--classes and --palette name different classes", fix="give --palette")
    colours = [(index, several) for index, (_, several) in enumerate(named)]
    rule = LabelRule(
        allowed=tuple(range(len(names))),
        ignore=_IGNORE,
        colours=tuple(colours),
        ignored_colours=ignored,
        tolerance=tolerance,
        max_unknown_ratio=share,
        honours_nodata=True,
    )
    try:
        rule.codec()
    except ValueError as error:
        raise UsageError(f"--palette: {error}") from error
    return _Classes(names, tuple(several[0] for _, several in named), rule)


def _two(names: Sequence[str]) -> tuple[str, ...]:
    if len(names) != 2:
        raise UsageError(f"--threshold makes two classes, and {len(names)} are named")
    return tuple(names)


def _colours(count: int) -> tuple[Rgb, ...]:
    return tuple(default_palette(count))


CONVERTER = Converter(
    name="generic",
    title="your own images with masks (ids, colours, palettes, 0/255) or polygons",
    layout="a folder or archive with a folder of images and one of labels, names alike "
    "(--images, --annotations), with or without train and val; or images and --polygons",
    licence="yours",
    where="your own data",
    plan=plan,
    options=TILING
    | COLOURS
    | {"format", "images", "annotations", "polygons", "class_field", "classes", "palette"}
    | {"label_map", "threshold", "bands", "split_ratio", "split_seed", "group", "reproject"},
)
