"""VRTs that may be opened: mosaics and subsets of rasters in their own folder, and nothing else.

GDAL's VRT can name any file, server, shell or Python function.  Here the XML is read by Python,
held against a list of what plain mosaics need, and written anew with the sources' full names; GDAL
sees only that, never the file.  A source is a file at or below the VRT's folder, links followed,
that begins as one of the formats that hold their own pixels.

Source: https://gdal.org/en/stable/drivers/raster/vrt.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from mmrs.errors import DataError
from mmrs.geo.plain_files import open_plain

MAX_BYTES = 2**25  # some 30,000 sources
MAX_DEPTH = 3  # VRTs of VRTs
_HEAD_BYTES = 4096
_PLAIN: frozenset[str] = frozenset()
_SOURCE = {
    "SourceFilename",
    "SourceBand",
    "SourceProperties",
    "SrcRect",
    "DstRect",
}
_COMPLEX = _SOURCE | {
    "NODATA",
    "UseMaskBand",
    "ScaleOffset",
    "ScaleRatio",
    "ColorTableComponent",
    "LUT",
    "Exponent",
    "SrcMin",
    "SrcMax",
    "DstMin",
    "DstMax",
    "Clamp",
}
_BAND = {
    "Description",
    "NoDataValue",
    "HideNoDataValue",
    "ColorInterp",
    "ColorTable",
    "CategoryNames",
    "Metadata",
    "Offset",
    "Scale",
    "UnitType",
    "Histograms",
    "SimpleSource",
    "ComplexSource",
}
# what may stand in what; an element that is not a key holds text alone
_CHILDREN: dict[str, set[str]] = {
    "VRTDataset": {
        "SRS",
        "GeoTransform",
        "GCPList",
        "Metadata",
        "BlockXSize",
        "BlockYSize",
        "OverviewList",
        "MaskBand",
        "VRTRasterBand",
    },
    "GCPList": {"GCP"},
    "Metadata": {"MDI"},
    "MaskBand": {"VRTRasterBand"},
    "VRTRasterBand": _BAND,
    "ColorTable": {"Entry"},
    "CategoryNames": {"Category"},
    "Histograms": {"HistItem"},
    "HistItem": {
        "HistMin",
        "HistMax",
        "BucketCount",
        "IncludeOutOfRange",
        "Approximate",
        "HistCounts",
    },
    "SimpleSource": _SOURCE,
    "ComplexSource": _COMPLEX,
}
# other domains can name files (OVERVIEWS) or hold XML of their own
_DOMAINS = ("", "RPC")
_MAGIC = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
    b"BM",
    b"EHFA_HEADER_TAG",
)
# GDAL asks some drivers before those of these formats, and they look for their mark anywhere
_MARKS = (b"<VRTDataset", b"<GDALTileIndexDataset", b"<GDAL_WMS", b"<WMS_")
_SERVER = re.compile(r"^(/vsi|[A-Za-z][A-Za-z0-9_+.-]*:)")
# a code, or WKT: GDAL takes the name of a file or a server for one too
_CRS = re.compile(r"\s*((EPSG|ESRI|OGC|IAU_\d+):[A-Za-z0-9_]+|[A-Za-z0-9_]+\s*\[.*)?\s*", re.DOTALL)
_FIX = "make a GeoTIFF of a VRT that you trust: gdal_translate {name} {stem}.tif"


def is_vrt(path: Path) -> bool:
    """Whether a file says that it is a VRT."""
    with path.open("rb") as file:
        return b"<VRTDataset" in file.read(512)


def safe_vrt(path: str | Path) -> str:
    """The XML of a VRT, checked, with the full names of its sources: to be opened in its place.

    Args:
        path: A VRT.

    Raises:
        DataError: With the source or element that is not allowed, and why.
    """
    return _Checker(Path(path)).checked(Path(path), depth=1)


def sources_of(checked: str) -> list[Path]:
    """The files whose pixels a VRT gives.

    Args:
        checked: What `safe_vrt` made of it; VRTs among its sources stand in it as text.
    """
    found: list[Path] = []
    for element in ET.fromstring(checked).iter("SourceFilename"):
        text = (element.text or "").strip()
        found += sources_of(text) if text.startswith("<") else [Path(text)]
    return list(dict.fromkeys(found))


class _Checker:
    def __init__(self, path: Path):
        self.path = path
        self._sources: dict[Path, str] = {}

    def checked(self, path: Path, depth: int) -> str:
        """The XML of one file; ``path`` is the VRT itself, or one of its sources."""
        root = self._parse(path)
        folder = path.resolve().parent
        for parent, child in _walk(root):
            if child.tag not in _CHILDREN.get(parent.tag, _PLAIN):
                raise self._refused(f"its <{child.tag}> in <{parent.tag}> is not plain pixels")
        for element in root.iter():
            if "subClass" in element.attrib:
                kind = element.attrib["subClass"]
                raise self._refused(f"its {element.tag} is a {kind}, which is not plain pixels")
            for metadata in element.findall("Metadata"):
                if metadata.get("domain", "") not in _DOMAINS:
                    element.remove(metadata)
        self._check_crs([element.text for element in root.iter("SRS")])
        self._check_crs([element.get("Projection") for element in root.iter("GCPList")])
        for element in root.iter("SourceFilename"):
            element.text = self._source(element, folder, depth)
            element.attrib = {"relativeToVRT": "0"}
        return ET.tostring(root, encoding="unicode")

    def _parse(self, path: Path) -> ET.Element:
        if path.stat().st_size > MAX_BYTES:
            raise self._refused(f"{path.name} is larger than {MAX_BYTES:,} bytes")
        try:
            # as text, so that no encoding that it declares can hide anything
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self._refused(f"{path.name} is not UTF-8") from error
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise self._refused(f"{path.name} declares a document type or entities")
        try:
            root = ET.fromstring(text)
        except ET.ParseError as error:
            raise self._refused(f"{path.name} is not XML ({error})") from error
        if root.tag != "VRTDataset":
            raise self._refused(f"{path.name} is a <{root.tag}>, not a <VRTDataset>")
        return root

    def _check_crs(self, texts: list[str | None]) -> None:
        for text in texts:
            if text is not None and not _CRS.fullmatch(text):
                raise self._refused(f"its CRS {text.strip()[:200]!r} is neither a code nor WKT")

    def _source(self, element: ET.Element, folder: Path, depth: int) -> str:
        name = (element.text or "").strip()
        shown = f"its source {name[:200]!r}"
        try:
            # without `relativeToVRT` GDAL takes names from where the program was started
            relative = element.get("relativeToVRT", element.get("relativetoVRT", "0")) == "1"
            source = (folder / name if relative else Path(name).absolute()).resolve(strict=True)
        except (OSError, ValueError) as error:
            is_other = _SERVER.match(name)
            what = "is not a file, but a server or a part of a file" if is_other else "is not there"
            raise self._refused(f"{shown} {what}") from error
        if not source.is_relative_to(self.path.resolve().parent):
            raise self._refused(f"{shown} lies outside the VRT's own folder")
        if not source.is_file():
            raise self._refused(f"{shown} is not a file")
        if source not in self._sources:
            self._sources[source] = self._checked_source(source, shown, depth)
        return self._sources[source]

    def _checked_source(self, source: Path, shown: str, depth: int) -> str:
        with source.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
        if is_webp or head.startswith(_MAGIC):
            if any(mark in head for mark in _MARKS):
                raise self._refused(f"{shown} is two formats in one file")
            try:
                open_plain(source).close()
            except DataError as error:
                raise self._refused(f"{shown} is not read: {error.what}") from error
            return str(source)
        if not is_vrt(source):
            raise self._refused(f"{shown} is not a GeoTIFF, PNG, JPEG, JPEG 2000, BMP, WebP or VRT")
        if depth >= MAX_DEPTH:
            raise self._refused(f"{shown} is a VRT in a VRT, more than {MAX_DEPTH} deep")
        return self.checked(source, depth + 1)

    def _refused(self, what: str) -> DataError:
        fix = _FIX.format(name=self.path.name, stem=self.path.stem)
        return DataError(f"this VRT is not opened: {what}", where=self.path, fix=fix)


def _walk(element: ET.Element) -> Iterator[tuple[ET.Element, ET.Element]]:
    """Every element below one, with its parent."""
    waiting = [element]
    while waiting:
        parent = waiting.pop()
        for child in parent:
            yield parent, child
            waiting.append(child)
