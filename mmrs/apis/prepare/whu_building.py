"""WHU Building: the aerial image set as tiles of 512 x 512 px."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmrs.apis.prepare.converter import Converter, check_partners, nothing_found, select
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, Plan
from mmrs.apis.prepare.options import Options
from mmrs.geo.source_file import SourceFile

_RASTER = (".tif", ".tiff", ".png")
_RULE = LabelRule(allowed=(0, 1), ignore=255, mapping=((255, 1),), by_value=True)


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """``{train,val,test}/{image,label}/*.tif``; labels 0 and 255 become 0 and 1."""
    jobs: list[ImageJob] = []
    skipped: dict[str, str] = {}
    for part in ("train", "val", "test"):
        images = select(files, rf"(?:^|/){part}/image/([^/]+)\.[^./]+$", _RASTER)
        labels = select(files, rf"(?:^|/){part}/(?:label|gt)/([^/]+)\.[^./]+$", _RASTER)
        keys, left_out = check_partners(
            images, labels, options, where=source, fix="fetch the archive again"
        )
        skipped |= {f"{part}/{key}": why for key, why in left_out.items()}
        jobs += [
            ImageJob(
                id=f"{part}/{key}",
                split=part,
                image=images[key],
                labels=(LabelJob(f"{part}/label", labels[key]),),
                image_folder=f"{part}/image",
                stem=key,
                rule=_RULE,
                image_suffix=".tif",
                label_suffix=".tif",
                copy_image=images[key].suffix in (".tif", ".tiff"),
            )
            for key in keys
        ]
    if not jobs:
        fix = CONVERTER.expects()
        raise nothing_found("train/image/*.tif with train/label/*.tif", files, source, fix)
    return Plan(
        jobs=tuple(jobs),
        classes={0: "background", 1: "building"},
        ignore=255,
        palette={0: (0, 0, 0), 1: (255, 255, 255)},
        config="configs/_base_/datasets/whu_building.py: data_root",
        notes=("labels of 0 and 255 become 0 and 1 (the config's MapLabels leaves both alone)",),
        skipped=skipped,
    )


CONVERTER = Converter(
    name="whu_building",
    title="WHU Building, aerial: 8188 tiles of 512 x 512 px at 0.3 m, of Christchurch",
    layout="'3. The cropped image tiles and raster labels.zip', or its folder with "
    "{train,val,test}/{image,label}/*.tif",
    licence="the owners' page states the terms; read them there",
    where="http://gpcv.whu.edu.cn/data/building_dataset.html",
    plan=plan,
)
