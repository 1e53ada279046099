"""Mapillary Vistas: street scenes, labels as PNGs with a palette, their table in a JSON."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmrs.apis.prepare.converter import (
    COLOURS,
    TILING,
    Converter,
    check_partners,
    nothing_found,
    select,
)
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, Plan
from mmrs.apis.prepare.options import Options
from mmrs.errors import DataError
from mmrs.geo.palette_codec import Rgb
from mmrs.geo.source_file import SourceFile, fetch

_NUM_CLASSES = {"v1.2": 66, "v2.0": 124}
_IGNORE = 255


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """The tree that MMSegmentation's configs read: ``training/{images,v1.2/labels}``."""
    version = options.version or "v1.2"
    table = _table(files, version, source)
    classes = {index: str(entry["readable"]) for index, entry in enumerate(table)}
    colours: dict[int, Rgb] = {i: _colour(entry, i, source) for i, entry in enumerate(table)}
    rule = _rule(colours, options)
    jobs: list[ImageJob] = []
    skipped: dict[str, str] = {}
    for part in ("training", "validation"):
        images = select(files, rf"(?:^|/){part}/images/([^/]+)\.jpe?g$")
        labels = select(files, rf"(?:^|/){part}/{version}/labels/([^/]+)\.png$")
        if not labels and version == "v1.2":  # archives before 2.0 have no folder of the version
            labels = select(files, rf"(?:^|/){part}/labels/([^/]+)\.png$")
        keys, left_out = check_partners(
            images, labels, options, where=source, fix="fetch the archives again"
        )
        skipped |= {f"{part}/{key}": why for key, why in left_out.items()}
        jobs += [_job(part, version, key, images[key], labels[key], rule, options) for key in keys]
    if not jobs:
        what = f"training/images/*.jpg with training/{version}/labels/*.png"
        raise nothing_found(what, files, source, CONVERTER.expects())
    key = "mapillary_v1.py" if version == "v1.2" else "mapillary_v2.py"
    return Plan(
        jobs=tuple(jobs),
        classes=classes,
        ignore=_IGNORE,
        palette=colours,
        config=f"MMSegmentation's configs/_base_/datasets/{key}: data_root",
        notes=(f"{version}: {len(table)} classes, 'Unlabeled' among them",),
        skipped=skipped,
    )


def _job(
    part: str,
    version: str,
    key: str,
    image: SourceFile,
    label: SourceFile,
    rule: LabelRule,
    options: Options,
) -> ImageJob:
    tiling = options.tiling(tile=None)
    return ImageJob(
        id=f"{part}/{key}",
        split=part,
        image=image,
        labels=(LabelJob(f"{part}/{version}/labels", label),),
        image_folder=f"{part}/images",
        stem=key,
        rule=rule,
        tiling=tiling,
        # cut images are stored without loss
        image_suffix=".jpg" if tiling.tile_px is None else ".png",
        copy_image=tiling.tile_px is None,
    )


def _rule(colours: Mapping[int, Rgb], options: Options) -> LabelRule:
    """Ids by value: several classes of 2.0 share their colours, so those cannot tell them apart."""
    unique = len(set(colours.values())) == len(colours)
    unknown = options.max_unknown_ratio
    return LabelRule(
        allowed=tuple(colours),
        ignore=_IGNORE,
        colours=tuple((i, (colour,)) for i, colour in colours.items()) if unique else (),
        by_value=True,
        tolerance=options.tolerance or 0,
        max_unknown_ratio=0.01 if unknown is None else unknown,
    )


def _table(files: Sequence[SourceFile], version: str, source: Path) -> list[dict[str, Any]]:
    named = {file.basename: file for file in files if file.suffix == ".json"}
    file = named.get(f"config_{version}.json") or (
        named.get("config.json") if version == "v1.2" else None
    )
    if file is None:
        what = f"config_{version}.json" + (" or config.json" if version == "v1.2" else "")
        raise nothing_found(what, files, source, CONVERTER.expects())
    try:
        with tempfile.TemporaryDirectory() as scratch, fetch(file, scratch) as path:
            labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        names = [entry["readable"] for entry in labels]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"is no table of classes ({error})", where=file.where, fix="fetch the archive again"
        ) from error
    if len(names) != _NUM_CLASSES[version]:
        raise DataError(
            f"names {len(names)} classes, and {version} has {_NUM_CLASSES[version]}",
            where=file.where,
            fix="choose the --version of the archive",
        )
    return list(labels)


def _colour(entry: Mapping[str, Any], index: int, source: Path) -> Rgb:
    try:
        red, green, blue = (int(value) for value in entry["color"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"class {index} has no colour in the table", where=source, fix="fetch it again"
        ) from error
    return red, green, blue


CONVERTER = Converter(
    name="mapillary",
    title="Mapillary Vistas: 25,000 street scenes; 66 classes in v1.2, 124 in v2.0",
    layout="mapillary-vistas-dataset_public_v2.0.zip (or v1.1), or its folder with "
    "config_v1.2.json and {training,validation}/{images,v1.2/labels}",
    licence="CC BY-NC-SA for the research edition; the site states the terms",
    where="after registration at https://www.mapillary.com/dataset/vistas",
    plan=plan,
    options=TILING | COLOURS | {"version"},
)
