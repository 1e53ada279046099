"""WHDLD: 4940 images of 256 x 256 px, labels as PNGs with a palette."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmrs.apis.prepare.converter import (
    COLOURS,
    Converter,
    check_partners,
    nothing_found,
    select,
)
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, Plan
from mmrs.apis.prepare.options import Options
from mmrs.geo.source_file import SourceFile

CLASSES = ("building", "road", "pavement", "vegetation", "bare soil", "water")
PALETTE = (
    *((255, 0, 0), (255, 255, 0), (192, 192, 0)),
    *((0, 255, 0), (128, 128, 128), (0, 0, 255)),
)


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """The tree as distributed; labels become ids by their colours, on which all code agrees."""
    images = select(files, r"(?:^|/)Images/([^/]+)\.[^./]+$", (".jpg", ".jpeg", ".png", ".tif"))
    labels = select(files, r"(?:^|/)ImagesPNG/([^/]+)\.[^./]+$", (".png", ".bmp", ".tif"))
    if not images:
        raise nothing_found("Images/*.jpg", files, source, CONVERTER.expects())
    keys, skipped = check_partners(
        images, labels, options, where=source, fix="fetch the archive again"
    )
    unknown = options.max_unknown_ratio
    rule = LabelRule(
        allowed=tuple(range(1, 7)),
        ignore=0,
        colours=tuple((i, (colour,)) for i, colour in enumerate(PALETTE, 1)),
        by_value=bool(options.by_value),
        tolerance=options.tolerance or 0,
        max_unknown_ratio=0.01 if unknown is None else unknown,
    )
    jobs = tuple(
        ImageJob(
            id=key,
            split="all",
            image=images[key],
            labels=(LabelJob("ImagesPNG", labels[key]),),
            image_folder="Images",
            stem=key,
            rule=rule,
            image_suffix=images[key].suffix,
            copy_image=True,
        )
        for key in keys
    )
    return Plan(
        jobs=jobs,
        classes=dict(enumerate(CLASSES, 1)),
        ignore=0,
        palette=dict(enumerate(PALETTE, 1)),
        config="configs/_base_/datasets/whdld.py: data_root; it divides the images by a hash of "
        "their names",
        notes=(
            "labels with a palette are read by its colours, on which all code agrees; "
            "the owners publish no order of the ids (--by-value takes them as they are)",
        ),
        skipped=skipped,
    )


CONVERTER = Converter(
    name="whdld",
    title="WHDLD: 4940 images of 256 x 256 px of Wuhan, RGB, 2 m, six classes",
    layout="WHDLD.zip, or the folder with Images/*.jpg and ImagesPNG/*.png",
    licence="for research, as the owners' page says; read it there",
    where="https://sites.google.com/view/zhouwx/dataset",
    plan=plan,
    options=COLOURS | {"by_value"},
)
