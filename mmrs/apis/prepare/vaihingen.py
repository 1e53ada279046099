"""ISPRS Vaihingen: 33 images of about 2500 x 2000 px; images and labels share their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmrs.apis.prepare import isprs
from mmrs.apis.prepare.converter import Converter, nothing_found, select
from mmrs.apis.prepare.job import Plan
from mmrs.apis.prepare.options import Options
from mmrs.geo.source_file import SourceFile

PARTS = {
    "train": tuple(
        f"area{n}" for n in (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37)
    ),
    "val": tuple(
        f"area{n}" for n in (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38)
    ),
}
# the archive of eroded labels has one more than there are images
_NO_IMAGE = ("area9",)
_MISSING = (
    "add ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE.zip (eroded) or "
    "..._ground_truth_COMPLETE.zip (full)"
)


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """Tiles ``area1_0_0_512_512.png``: image, then x0, y0, x1, y1."""
    tifs = [file for file in files if file.suffix in (".tif", ".tiff")]
    # the image lies in top/, its full labels have the same name somewhere else
    images = select(tifs, r"(?:^|/)top/top_mosaic_09cm_(area\d+)\.tiff?$")
    if not images:
        raise nothing_found("top/top_mosaic_09cm_area*.tif", files, source, CONVERTER.expects())
    others = [file for file in tifs if file.folder.rpartition("/")[2].lower() != "top"]
    complete = [file for file in others if "gts_for_participants" not in file.name]
    full = select(complete, r"(?:^|/)top_mosaic_09cm_(area\d+)\.tiff?$")
    # the participants' half counts where the complete set is not there
    for key, file in select(others, r"gts_for_participants/top_mosaic_09cm_(area\d+)\.").items():
        full.setdefault(key, file)
    eroded_files = [file for file in others if "for_participants" not in file.name]
    eroded = select(eroded_files, r"(?:^|/)top_mosaic_09cm_(area\d+)_noBoundary\.tiff?$")
    some = [file for file in others if "for_participants" in file.name]
    for key, file in select(some, r"top_mosaic_09cm_(area\d+)_noBoundary\.").items():
        eroded.setdefault(key, file)
    return isprs.make_plan(
        images=images,
        full=full,
        eroded=eroded,
        surfaces=select(tifs, r"(?:^|/)dsm_09cm_matching_(area\d+)\.tiff?$"),
        parts=PARTS,
        options=options,
        source=source,
        missing=_MISSING,
        tile=512,
        stride=400,
        config="configs/_base_/datasets/vaihingen.py, vaihingen_ifwm.py: data_root",
        only_labels=_NO_IMAGE,
    )


CONVERTER = Converter(
    name="vaihingen",
    title="ISPRS Vaihingen: 33 images at 9 cm (near infrared, red, green), six classes",
    layout="ISPRS_semantic_labeling_Vaihingen.zip and "
    "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE.zip (or "
    "..._ground_truth_COMPLETE.zip), their folders, or the Vaihingen.zip that holds them",
    licence=isprs.LICENCE,
    where=f"on request at {isprs.SITE}",
    plan=plan,
    options=isprs.OPTIONS,
)
