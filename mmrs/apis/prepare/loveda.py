"""LoveDA: Train.zip, Val.zip and Test.zip, each with a rural and an urban half."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmrs.apis.prepare.converter import (
    TILING,
    Converter,
    check_partners,
    nothing_found,
    select,
)
from mmrs.apis.prepare.download import Download
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, Plan
from mmrs.apis.prepare.options import Options
from mmrs.errors import DataError
from mmrs.geo.source_file import SourceFile

CLASSES = ("background", "building", "road", "water", "barren", "forest", "agricultural")
PALETTE = (
    *((255, 255, 255), (255, 0, 0), (255, 255, 0), (0, 0, 255)),
    *((159, 129, 183), (0, 255, 0), (255, 195, 128)),
)
_RECORD = "https://zenodo.org/records/5706578"
# ids of the label files; 0 is no data. The files have one band, so no colours are needed.
_RULE = LabelRule(allowed=tuple(range(1, 8)), ignore=0, by_value=True)


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """Images keep their names and bytes; the halves come together in one folder a part."""
    jobs, skipped, notes = [], {}, []
    for folder, split in (("Train", "train"), ("Val", "val"), ("Test", "test")):
        below = rf"(?:^|/){folder}/((?:Rural|Urban)/[^/]+)"
        images = select(files, below.replace("/[^/]+", r"/images_png/[^/]+(?=\.png$)"))
        labels = select(files, below.replace("/[^/]+", r"/masks_png/[^/]+(?=\.png$)"))
        by_name = {key.replace("masks_png", "images_png"): file for key, file in labels.items()}
        keys, left_out = list(images), {}
        if split != "test":
            keys, left_out = check_partners(
                images, by_name, options, where=source, fix="fetch the archives again"
            )
        if not images:
            notes.append(f"there is no {folder}.zip and no folder {folder}: no {split} images")
        skipped |= {f"{split}/{key}": why for key, why in left_out.items()}
        for key in keys:
            jobs.append(_job(split, images[key], by_name.get(key), options))
    if not jobs:
        fix = CONVERTER.expects()
        raise nothing_found("Train, Val or Test/Rural/images_png/*.png", files, source, fix)
    if not any(job.split == "train" for job in jobs):
        raise DataError("holds no training images", where=source, fix="add Train.zip")
    return Plan(
        jobs=tuple(jobs),
        classes=dict(enumerate(CLASSES, 1)),
        ignore=0,
        palette=dict(enumerate(PALETTE, 1)),
        config="configs/_base_/datasets/loveda.py, loveda_trainval.py: data_root",
        notes=tuple(notes),
        skipped=skipped,
    )


def _job(split: str, image: SourceFile, label: SourceFile | None, options: Options) -> ImageJob:
    tiling = options.tiling(tile=None)
    labels = () if label is None else (LabelJob(f"ann_dir/{split}", label),)
    return ImageJob(
        id=f"{split}/{image.stem}",
        split=split,
        image=image,
        labels=labels,
        image_folder=f"img_dir/{split}",
        stem=image.stem,
        rule=_RULE,
        tiling=tiling,
        copy_image=True,
    )


CONVERTER = Converter(
    name="loveda",
    title="LoveDA: land cover of rural and urban scenes, 1024 x 1024 px, RGB, 0.3 m",
    layout="Train.zip, Val.zip, Test.zip, or their folders, with "
    "{Rural,Urban}/{images_png,masks_png}/*.png",
    licence="CC BY-NC-SA 4.0, https://github.com/Junjue-Wang/LoveDA",
    where=f"{_RECORD} (--download fetches it)",
    plan=plan,
    options=TILING,
    # MD5 as the Zenodo record lists them beside its files
    downloads=tuple(
        Download(f"{_RECORD}/files/{name}?download=1", name, md5)
        for name, md5 in (
            ("Train.zip", "de2b196043ed9b4af1690b3f9a7d558f"),
            ("Val.zip", "84cae2577468ff0b5386758bb386d31d"),
            ("Test.zip", "a489be0090465e01fb067795d24e6b47"),
        )
    ),
)
