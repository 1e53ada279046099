"""Million-AID: scenes without segmentation labels, partitioned for pre-training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmrs.apis.prepare.converter import TILING, Converter, nothing_found
from mmrs.apis.prepare.files import write_whole
from mmrs.apis.prepare.job import ImageJob, LabelRule, Plan
from mmrs.apis.prepare.options import Options
from mmrs.geo.source_file import SourceFile

_TILE = 400
_RULE = LabelRule(allowed=(), ignore=255)
_IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """A partition into squares; an image smaller than one, and what fills none, is left out."""
    images = [file for file in files if file.suffix in _IMAGES]
    if not images:
        raise nothing_found("images", files, source, CONVERTER.expects())
    tiling = options.tiling(tile=_TILE, stride=_TILE, edge="drop")
    jobs = []
    for file in images:
        # train/agriculture_land/arable_land/dry_field/P0335343.jpg: classes are folders
        parts = [part for part in file.folder.split("/") if not part.lower().endswith(".zip")]
        part = next((p for p in parts if p in ("train", "test", "val")), "train")
        name = re.sub(r"[^\w.-]+", "_", "__".join([*parts, file.stem]))
        jobs.append(
            ImageJob(
                id=file.name,
                split=part,
                image=file,
                labels=(),
                image_folder=f"img_dir/{part}",
                stem=name,
                rule=_RULE,
                tiling=tiling,
                list_only=options.format is None,
                image_suffix=f".{options.format or 'png'}",
            )
        )
    listed = "train.txt and test.txt: source file, then x0 y0 x1 y1 of a square"
    return Plan(
        jobs=tuple(jobs),
        classes={},
        ignore=None,
        palette={},
        config="pre-training reads " + (listed if options.format is None else "img_dir/train"),
        notes=(
            f"squares of {tiling.tile_px} px; "
            + (f"{listed}; --format png writes them as files" if options.format is None else ""),
        ),
    )


def finish(root: Path, records: list[dict[str, Any]]) -> list[str]:
    """Write the lists."""
    lines: dict[str, list[str]] = {}
    for record in records:
        if not record.get("listed"):
            continue
        name = record["sources"]["image"]["name"]
        for row, col, height, width in record["windows"]:
            lines.setdefault(record["split"], []).append(
                f"{name}\t{col}\t{row}\t{col + width}\t{row + height}"
            )
    for part, listed in lines.items():
        write_whole(root / f"{part}.txt", ("\n".join(listed) + "\n").encode())
    return [f"{part}.txt" for part in lines]


CONVERTER = Converter(
    name="million_aid",
    title="Million-AID: 1,000,848 scenes of 51 classes, of many sizes",
    layout="train.zip and test.zip, or their folders of scene classes "
    "(train/agriculture_land/arable_land/dry_field/P0335343.jpg)",
    licence="CC BY-NC-ND 4.0, https://competitions.codalab.org/competitions/35974",
    where="https://captain-whu.github.io/DiRS/",
    plan=plan,
    options=TILING | {"format"},
    finish=finish,
)
