"""One image and its label: readable, of one size and grid, and with labels that mean something."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmrs.apis.channels.channel_check import check_image_file
from mmrs.apis.channels.channel_config import loader_contract
from mmrs.apis.checks.exif import exif_turn
from mmrs.apis.checks.findings import Finding
from mmrs.apis.checks.image_check import Decoded, ImageFacts, decode_image, look_at_image
from mmrs.apis.checks.label_reader import WHOLE_PX, LabelFacts, LabelReader, reads_labels
from mmrs.apis.checks.raster_label_reader import RasterLabelReader, is_windowed
from mmrs.errors import DataError, MmrsError
from mmrs.geo.checksums import verify_checksums
from mmrs.geo.raster import Raster
from mmrs.geo.window_reader import grid_difference


@dataclass
class PairResult:
    """What looking at one pair showed; pixels are not kept.

    Attributes:
        info: The sample, as the data set has it.
        image: The image's header; None where it cannot be read, or is not on a file system.
        label: What the label holds; None where there is none.
        decoded: What reading the whole image showed; None where it was not read.
        findings: What is wrong.
    """

    info: dict
    image: ImageFacts | None = None
    label: LabelFacts | None = None
    decoded: Decoded | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def has_error(self) -> bool:
        """Whether training would fail on it."""
        return any(finding.level == "error" for finding in self.findings)


class PairChecker:
    """Checks the pairs of one data set; it may be used by several threads.

    Args:
        dataset: The data set.
        transforms: Its pipeline.
    """

    def __init__(self, dataset: Any, transforms: Sequence[Any]) -> None:
        self.reader: LabelReader | RasterLabelReader
        if is_windowed(dataset):
            self.reader = RasterLabelReader(dataset)
            self.reads_labels = bool(self.reader.steps)
        else:
            self.reader = LabelReader(dataset, transforms)
            self.reads_labels = reads_labels(transforms)
        self.loader = next((step for step in transforms if _loads_images(step)), None)
        self.drops_gaps = is_windowed(dataset)
        self.reads_by_opencv = loader_contract(self.loader) is not None

    def check(self, info: dict, *, whole: bool) -> PairResult:
        """Look at one sample; nothing is raised for what is wrong with it.

        Args:
            info: As the data set has it.
            whole: Read every block of the image; else its header only. Labels are always read
                whole.
        """
        result = PairResult(info)
        image, label = info.get("img_path"), info.get("seg_map_path")
        if not isinstance(image, str) or not os.path.isfile(image):
            return result  # missing, which is told elsewhere, or on a server
        has_label = self.reads_labels and isinstance(label, str) and os.path.isfile(label)
        try:
            result.image = look_at_image(image)
        except MmrsError as error:
            result.findings.append(Finding("unreadable", "error", error))
        else:
            result.findings += self._image_findings(image, result.image)
            self._turn(result, image)
        if has_label:
            self._check_label(result, label, whole)
        if whole and result.image is not None:
            self._decode(result, image)
        if result.label is not None:
            result.label.labels = None
        return result

    def _turn(self, result: PairResult, path: str) -> None:
        """EXIF may say that a picture is to be turned; OpenCV does so, GDAL does not."""
        turn = exif_turn(path)
        if turn == 1 or result.image is None:
            return
        if self.reads_by_opencv and turn >= 5:
            height, width = result.image.height, result.image.width
            result.image = replace(result.image, height=width, width=height)
        done = "turns it so" if self.reads_by_opencv else "does not"
        error = DataError(
            f"its EXIF says that it is to be turned (orientation {turn}), and "
            f"{type(self.loader).__name__} {done}; its label may have been drawn either way",
            where=path,
            fix="look at the overlay; save it turned, without EXIF (mogrify -auto-orient), or as "
            "it is stored (exiftool -Orientation= FILE), as the label lies",
        )
        result.findings.append(Finding("turned", "warning", error))

    def _check_label(self, result: PairResult, path: str, whole: bool) -> None:
        if isinstance(self.reader, RasterLabelReader):  # has compared sizes and grids itself
            result.label = self.reader.read(result.info, whole=whole)
            result.findings += result.label.findings
            return
        try:
            facts = look_at_image(path, what="a label")
            verify_checksums(path)
        except MmrsError as error:
            result.findings.append(Finding("unreadable", "error", error))
            return
        image = result.image
        if image is not None and (facts.height, facts.width) != (image.height, image.width):
            error = DataError(
                f"label is {facts.height} x {facts.width} but its image "
                f"{result.info['img_path']} is {image.height} x {image.width} (rows x columns)",
                where=path,
                fix="give image and label the same size",
            )
            result.findings.append(Finding("size", "error", error))
            if facts.height * facts.width > WHOLE_PX:
                return  # a damaged header, or too much to be read whole
        elif image is not None:
            result.findings += _place_findings(result.info["img_path"], image, path, facts)
        if self.reader.steps:
            result.label = self.reader.read(result.info)
            result.findings += result.label.findings

    def _decode(self, result: PairResult, path: str) -> None:
        labels = None if result.label is None else result.label.labels
        try:
            found = decode_image(path, result.image, labels, self.reader.ignore_index)
        except MmrsError as error:
            result.findings.append(Finding("unreadable", "error", error))
            return
        result.decoded = found
        result.findings += self._gap_findings(path, found)
        if result.image.has_invalid and not result.has_error:
            result.findings += self._refused(result.info)

    def _image_findings(self, path: str, facts: ImageFacts) -> list[Finding]:
        """Tell what MMSegmentation's loader changes in silence; training refuses the same."""
        expected = loader_contract(self.loader)
        if expected is None:
            return []
        fix = "load it by dict(type='mmrs.LoadRaster'), with one mean and std a band"
        if facts.dtype != "uint8":
            error = DataError(
                f"{facts.kind}, which {type(self.loader).__name__} cuts to 8 bits in silence"
                if facts.bands in (1, 3)
                else f"LoadImageFromFile cannot decode {facts.kind}",
                where=path,
                fix=fix,
            )
            return [Finding("bands", "error", error)]
        if facts.bands not in (1, 3):
            error = DataError(
                f"{facts.kind}, but {type(self.loader).__name__} reads red, green and blue only",
                where=path,
                fix=fix,
            )
            return [Finding("bands", "error", error)]
        try:
            check_image_file(path, expected)
        except DataError as error:
            return [Finding("bands", "error", error)]
        return []

    def _refused(self, info: dict) -> list[Finding]:
        """Ask a loader that refuses pixels without data; what is none is for it to say."""
        if getattr(self.loader, "nodata", None) != "error":
            return []
        try:
            self.loader(dict(info))
        except MmrsError as error:
            return [Finding("nodata", "error", error)]
        return []

    def _gap_findings(self, path: str, found: Decoded) -> list[Finding]:
        findings = []
        at = "" if found.first is None else f", the first at (row {found.first[0]}, col "
        at += "" if found.first is None else f"{found.first[1]})"
        if found.undeclared:
            ignored = "; they are ignored (image 0)" if self.drops_gaps else ""
            error = DataError(
                f"{found.undeclared} pixels are NaN or infinite, and the file does not declare "
                f"them as nodata{at}{ignored}",
                where=path,
                fix="fill them, or leave the image out; gdal_translate -a_nodata nan declares them",
            )
            findings.append(Finding("nodata", "warning" if self.drops_gaps else "error", error))
        if found.labelled > found.undeclared and not self.drops_gaps:
            error = DataError(
                f"{found.labelled} of {found.nodata} pixels without data (nodata, mask or "
                f"transparent) have the label of a class{at}",
                where=path,
                fix=f"give them the label {self.reader.ignore_index} (ignored)",
            )
            findings.append(Finding("nodata", "warning", error))
        return findings


def _loads_images(step: Any) -> bool:
    name = type(step).__name__
    return name.startswith("Load") and "Annotation" not in name


def _place_findings(
    image_path: str, image: ImageFacts, path: str, label: ImageFacts
) -> list[Finding]:
    """Compare where image and label lie on Earth, as far as both say so."""
    have = not image.georeference.is_missing, not label.georeference.is_missing
    if all(have):
        with Raster(path) as labels, Raster(image_path) as pixels:
            told = grid_difference(labels, pixels)
        if told is None:
            return []
        error = DataError(
            f"it does not lie on the grid of its image {image_path}: {told}",
            where=path,
            fix="warp the label to the image's grid (nearest neighbour), or take them out",
        )
        return [Finding("grid", "error", error)]
    for is_there, facts, own, other in (
        (have[0], image, image_path, "its label"),
        (have[1], label, path, "its image"),
    ):
        if not is_there and any(have) and facts.keeps_place:
            error = DataError(
                f"has no CRS and grid, but {other} has, so whether they match cannot be told",
                where=own,
                fix="copy them from the original (gdal_edit.py -a_srs ... -a_ullr ...)",
            )
            return [Finding("crs", "warning", error)]
    return []
