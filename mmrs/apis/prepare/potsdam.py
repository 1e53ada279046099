"""ISPRS Potsdam: 38 images of 6000 x 6000 px, in zips that one big zip may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mmrs.apis.prepare import isprs
from mmrs.apis.prepare.converter import Converter, nothing_found, select
from mmrs.apis.prepare.job import Plan
from mmrs.apis.prepare.options import Options
from mmrs.geo.source_file import SourceFile

# Folders as MMSegmentation has them. `mmrs.PotsdamDataset` goes by names, and leaves 7_10 out.
PARTS = {
    "train": (
        *("2_10", "2_11", "2_12", "3_10", "3_11", "3_12", "4_10", "4_11", "4_12"),
        *("5_10", "5_11", "5_12", "6_7", "6_8", "6_9", "6_10", "6_11", "6_12"),
        *("7_7", "7_8", "7_9", "7_10", "7_11", "7_12"),
    ),
    "val": (
        *("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15"),
        *("5_13", "5_14", "5_15", "6_13", "6_14", "6_15", "7_13"),
    ),
}
_ENDING = {"rgb": "RGB", "irrg": "IRRG", "rgbir": "RGBIR"}
_MISSING = "add 5_Labels_all_noBoundary.zip (eroded) or 5_Labels_all.zip (full)"


def plan(files: Sequence[SourceFile], options: Options, source: Path) -> Plan:
    """Tiles ``2_10_0_0_512_512.png``: image, then x0, y0, x1, y1."""
    ending = _ENDING[options.imagery or "rgb"]
    tifs = [file for file in files if file.suffix in (".tif", ".tiff")]
    images = _by_id(tifs, rf"(?:^|/)top_potsdam_(\d+_\d+)_{ending}\.tiff?$")
    if not images:
        what = f"top_potsdam_*_{ending}.tif"
        raise nothing_found(what, files, source, CONVERTER.expects())
    found = isprs.make_plan(
        images=images,
        full=_by_id(tifs, r"(?:^|/)top_potsdam_(\d+_\d+)_label\.tiff?$"),
        eroded=_by_id(tifs, r"(?:^|/)top_potsdam_(\d+_\d+)_label_noBoundary\.tiff?$"),
        surfaces=_by_id(tifs, r"(?:^|/)dsm_potsdam_(\d+_\d+)\.tiff?$"),
        parts=PARTS,
        options=options,
        source=source,
        missing=_MISSING,
        tile=512,
        stride=512,
        config="configs/_base_/datasets/potsdam.py, potsdam_dilated_spp.py "
        "(--tiles-per-side 13): data_root",
    )
    if ending != "RGBIR":
        return found
    return _with_four_bands(found)


def _by_id(files: Sequence[SourceFile], pattern: str) -> dict[str, SourceFile]:
    """Files by image id without leading zeros, which only the surface models have."""
    found = select(files, pattern)
    return {re.sub(r"0*(\d+)_0*(\d+)", r"\1_\2", key): file for key, file in found.items()}


def _with_four_bands(plan: Plan) -> Plan:
    from dataclasses import replace

    jobs = tuple(replace(job, image_suffix=".tif") for job in plan.jobs)
    return replace(
        plan,
        jobs=jobs,
        config=plan.config.partition(";")[0]
        + "; tiles have bands R G B NIR: set img_suffix='.tif', in_channels=4 and "
        "dict(type='mmrs.LoadRaster') in place of LoadImageFromFile",
    )


def _archives(options: Options) -> re.Pattern[str]:
    """The whole is tens of GB: what is not asked for stays closed."""
    wanted = [r"5_Labels_\w+", "Potsdam", rf"\d_Ortho_{_ENDING[options.imagery or 'rgb']}"]
    if options.dsm == "stack":
        wanted.append("1_DSM")
    return re.compile(rf"^({'|'.join(wanted)})\.(zip|tar|tgz|tar\.gz)$", re.IGNORECASE)


CONVERTER = Converter(
    name="potsdam",
    title="ISPRS Potsdam: 38 images of 6000 x 6000 px at 5 cm, six classes",
    layout="2_Ortho_RGB.zip and 5_Labels_all_noBoundary.zip (or 5_Labels_all.zip), their "
    "folders, or the Potsdam.zip that holds them",
    licence=isprs.LICENCE,
    where=f"on request at {isprs.SITE}",
    plan=plan,
    options=isprs.OPTIONS | {"imagery"},
    archives=_archives,
)
