"""What Potsdam and Vaihingen share: colours, full and eroded labels, names of tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmrs.apis.prepare.converter import COLOURS, TILING, check_partners
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, Plan
from mmrs.apis.prepare.options import Options
from mmrs.errors import DataError
from mmrs.geo.source_file import SourceFile

OPTIONS = TILING | COLOURS | {"labels", "dsm", "format"}
CLASSES = ("impervious surface", "building", "low vegetation", "tree", "car", "clutter")
PALETTE = (
    *((255, 255, 255), (0, 0, 255), (0, 255, 255)),
    *((0, 255, 0), (255, 255, 0), (255, 0, 0)),
)
BOUNDARY = (0, 0, 0)
SITE = "https://www.isprs.org/education/benchmarks/UrbanSemLab/default.aspx"
LICENCE = f"ISPRS states its terms where it hands out the data, {SITE}"


def rule(options: Options) -> LabelRule:
    """Colours of both sets: 0 boundary, 1 to 6 the classes."""
    colours = ((0, (BOUNDARY,)), *((i, (c,)) for i, c in enumerate(PALETTE, 1)))
    unknown = options.max_unknown_ratio
    return LabelRule(
        allowed=tuple(range(7)),
        ignore=0,
        colours=colours,
        tolerance=options.tolerance or 0,
        max_unknown_ratio=0.01 if unknown is None else unknown,
    )


def make_plan(
    *,
    images: Mapping[str, SourceFile],
    full: Mapping[str, SourceFile],
    eroded: Mapping[str, SourceFile],
    surfaces: Mapping[str, SourceFile],
    parts: Mapping[str, Sequence[str]],
    options: Options,
    source: Path,
    missing: str,
    tile: int,
    stride: int,
    config: str,
    only_labels: Sequence[str] = (),
) -> Plan:
    """The plan of either set, its files found and keyed by image id.

    Args:
        images: Orthophotos.
        full: Labels of all pixels.
        eroded: Labels with a black seam along the edges of objects.
        surfaces: Surface models.
        parts: Part -> its images.
        options: Of the user.
        source: For messages.
        missing: What to add where labels are missing.
        tile: Side of a tile, unless the user says.
        stride: Their step, likewise.
        config: Which configs read it.
        only_labels: Labels that are known to have no image.

    Raises:
        DataError: Images, labels or surface models are missing.
    """
    kinds = _chosen_labels(options, full, eroded, source, missing)
    keys, skipped = list(images), {}
    for _, labels in kinds:
        keys_here, left_out = check_partners(
            images, labels, options, where=source, fix=missing, only_labels=only_labels
        )
        keys = [key for key in keys if key in keys_here]
        skipped |= left_out
    part_of = {image: part for part, ids in parts.items() for image in ids}
    strange = [key for key in keys if key not in part_of]
    if strange:
        raise DataError(
            f"image {strange[0]} is not of this set", where=source, fix="take it out of the source"
        )
    stack = options.dsm == "stack"
    without = [key for key in keys if stack and key not in surfaces]
    if without:
        raise DataError(
            f"no surface model of {', '.join(without[:5])}", where=source,
            fix="add the archive of the DSM, or leave --dsm stack out",
        )  # fmt: skip
    suffix = ".tif" if stack or options.format == "tif" else ".png"
    jobs = tuple(
        ImageJob(
            id=key,
            split=part_of[key],
            image=images[key],
            labels=tuple(
                LabelJob(f"{folder}/{part_of[key]}", labels[key]) for folder, labels in kinds
            ),
            stack=(surfaces[key],) if stack else (),
            image_folder=f"img_dir/{part_of[key]}",
            stem=key,
            rule=rule(options),
            tiling=options.tiling(tile=tile, stride=stride),
            image_suffix=suffix,
        )
        for key in keys
    )
    return Plan(
        jobs=jobs,
        classes=dict(enumerate(CLASSES, 1)),
        ignore=0,
        palette=dict(enumerate(PALETTE, 1)),
        config=config + (_tif_setting(stack) if suffix == ".tif" else ""),
        notes=_notes(options, kinds, images, stack),
        skipped=skipped,
    )


def _chosen_labels(
    options: Options,
    full: Mapping[str, SourceFile],
    eroded: Mapping[str, SourceFile],
    source: Path,
    missing: str,
) -> list[tuple[str, Mapping[str, SourceFile]]]:
    """Folder and labels of each kind; what the user did not choose follows from what is there."""
    asked = options.labels or ("eroded" if eroded else "full")
    kinds = {
        "full": [("ann_dir", full)],
        "eroded": [("ann_dir", eroded)],
        "both": [("ann_dir", full), ("ann_dir_eroded", eroded)],
    }[asked]
    for _, labels in kinds:
        if not labels:
            other = "eroded" if labels is full and full is not eroded and eroded else "full"
            hint = f", or --labels {other}" if (full or eroded) else ""
            raise DataError(f"no {asked} labels in it", where=source, fix=f"{missing}{hint}")
    return kinds


def _notes(
    options: Options,
    kinds: Sequence[tuple[str, Mapping[str, SourceFile]]],
    images: Mapping[str, SourceFile],
    stack: bool,
) -> tuple[str, ...]:
    if len(kinds) == 2:
        labels = "ann_dir has the full labels, ann_dir_eroded the eroded ones"
    elif "noboundary" in next(iter(kinds[0][1].values())).name.lower():
        labels = "labels are eroded, edges of objects count as no data"
    else:
        labels = "labels are full, edges of objects count"
    chosen = f"--labels {options.labels}" if options.labels else "--labels chooses"
    notes = [f"{labels} ({chosen}); say so beside every score"]
    if stack:
        notes.append(
            "the surface model is the last band; where it lacks a row or column, that holds 0"
        )
    return (*notes, f"{len(images)} images found")


def _tif_setting(stack: bool) -> str:
    loader = "dict(type='mmrs.LoadRaster')"
    bands = f" and {loader} in place of LoadImageFromFile" if stack else ""
    return f"; tiles are GeoTIFFs: set img_suffix='.tif'{bands}"
