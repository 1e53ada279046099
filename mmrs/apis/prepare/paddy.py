"""A paddy-style binary set: GeoTIFFs of a few bands, each pixel paddy or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.converter import TILING, Converter
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, Plan, PolygonLabels
from mmrs.apis.prepare.options import Options
from mmrs.apis.prepare.pairs import find_pairs
from mmrs.apis.prepare.polygons import check_polygons
from mmrs.geo.source_file import SourceFile

_TILE = 256


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """``img_dir/*.tif`` and ``ann_dir/*.tif``, which `mmrs.PaddyDataset` divides by their names."""
    tiling = options.tiling(tile=_TILE, edge="drop")
    if (tiling.stride_px or _TILE) < (tiling.tile_px or 0) or tiling.edge == "flush":
        raise UsageError(
            "tiles of this set must not overlap: the data set divides them by their names, and "
            "overlapping ones would be in training and in validation",
            fix="leave --stride and --edge out",
        )
    by_polygons = options.polygons is not None
    check_polygons(options)
    pairs, skipped = find_pairs(
        files, options, source, fix=CONVERTER.expects(), labels=not by_polygons
    )
    threshold = options.threshold
    mapping = options.label_map or ((255, 1),)
    rule = LabelRule(
        allowed=(0, 1),
        ignore=255,
        mapping=mapping,
        by_value=True,
        threshold=threshold,
        honours_nodata=True,
    )
    jobs = []
    for pair in pairs:
        label: SourceFile | PolygonLabels | None = pair.label
        if options.polygons is not None:
            label = PolygonLabels(options.polygons, None, (), 1, 0)
        if label is None:
            continue
        jobs.append(
            ImageJob(
                id=pair.stem,
                split="all",
                image=pair.image,
                labels=(LabelJob("ann_dir", label),),
                image_folder="img_dir",
                stem=pair.stem,
                rule=rule,
                tiling=replace(tiling, edge="drop"),
                image_suffix=".tif",
                label_suffix=".tif",
                bands=options.bands or (),
                reproject=bool(options.reproject),
            )
        )
    note = "labels of 0 and 255 become 0 and 1 (--label-map 255:1); "
    return Plan(
        jobs=tuple(jobs),
        classes={0: "non-paddy", 1: "paddy"},
        ignore=255,
        palette={0: (96, 96, 96), 1: (80, 200, 80)},
        config="configs/_base_/datasets/paddy.py: data_root; it divides the tiles by their names",
        notes=(
            ("" if by_polygons or options.label_map or threshold else note)
            + "what fills no tile at the right and lower edges is left out: tiles must not overlap",
        ),
        skipped=skipped,
    )


CONVERTER = Converter(
    name="paddy",
    title="paddy fields or any other two classes, in GeoTIFFs of 3 or 4 bands",
    layout="a folder (or archive) with images/ and labels/ of GeoTIFFs of equal names, or images "
    "and --polygons",
    licence="yours: the paper's imagery is not public",
    where="the SPOT-6 imagery of the paper is not public",
    plan=plan,
    options=TILING
    | {"images", "annotations", "polygons", "label_map", "threshold", "bands", "reproject"},
)
