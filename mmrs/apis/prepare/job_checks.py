"""What only all images of a preparation together show, before and after they are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmrs.apis.prepare.job import Plan, PolygonLabels
from mmrs.errors import DataError


def check_plan(plan: Plan, source: Path) -> None:
    """No two jobs may write the same file.

    Raises:
        DataError: With both names.
    """
    seen: dict[str, str] = {}
    for job in plan.jobs:
        for folder in {job.image_folder, *(label.folder for label in job.labels)}:
            place = f"{folder}/{job.stem}"
            if place in seen:
                raise DataError(
                    f"{seen[place]} and {job.image.name} would both become {place}",
                    where=source,
                    fix="give the images different names",
                )
            seen[place] = job.image.name


def check_tiles(records: list[dict[str, Any]], source: Path) -> None:
    """No two images may have written the same tile, as a and a whole a_0_0_512_512 would.

    Raises:
        DataError: With both names.
    """
    owner: dict[str, str] = {}
    for record in records:
        for name in (name for tile in record["tiles"] for name in tile["files"]):
            if owner.setdefault(name, record["id"]) != record["id"]:
                raise DataError(
                    f"images {owner[name]} and {record['id']} both give a tile {name}",
                    where=source,
                    fix="give the second another name",
                )


def check_polygons_hit(plan: Plan, records: list[dict[str, Any]]) -> None:
    """Polygons that lie on no image were given a wrong CRS, or belong to other images.

    Raises:
        DataError: None of them lies on any.
    """
    given = [label.source for job in plan.jobs for label in job.labels]
    polygons = next((source for source in given if isinstance(source, PolygonLabels)), None)
    if polygons is None:
        return
    found = {int(label) for record in records for label in record["class_pixels"]}
    if found <= {polygons.background, plan.ignore}:
        raise DataError(
            "none of its polygons lies on any image",
            where=polygons.path,
            fix="look at both in a GIS: the CRS of the polygons or of the images may be wrong",
        )
