"""What is to be done with one source image, as plain values that any process can take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from mmrs.geo.palette_codec import PaletteCodec, Rgb
from mmrs.geo.source_file import SourceFile
from mmrs.geo.tiles import even_tiles
from mmrs.geo.windows import WindowPlan, plan_windows

Edge = Literal["flush", "drop"]
IGNORED_ID = 254  # only while colours are read; the files hold the rule's own


@dataclass(frozen=True)
class Tiling:
    """How an image is cut; whole where ``tile_px`` is None.

    Attributes:
        tile_px: Side of a tile; an image smaller than that gives one smaller tile.
        stride_px: Step from a tile to the next; ``tile_px`` where None.
        tiles_per_side: Evenly spread tiles along each side, in place of a stride.
        edge: Last tiles ``flush`` with the edge, or ``drop`` what fills no tile.
    """

    tile_px: int | None = None
    stride_px: int | None = None
    tiles_per_side: int | None = None
    edge: Edge = "flush"

    def plan(self, height: int, width: int) -> WindowPlan | None:
        """Windows over an image; None where it is smaller than a tile and edges are dropped.

        Raises:
            ValueError: The numbers leave gaps, see `plan_windows` and `even_tiles`.
        """
        tile = self.tile_px
        if tile is None:
            return plan_windows(height, width, (height, width), (height, width))
        if self.tiles_per_side is not None and min(height, width) >= tile:
            return even_tiles(height, width, tile, self.tiles_per_side)
        stride = self.stride_px or tile
        if self.edge == "flush":
            return plan_windows(height, width, tile, stride)
        rows = tuple(range(0, height - tile + 1, stride))
        cols = tuple(range(0, width - tile + 1, stride))
        if not rows or not cols:
            return None
        return WindowPlan(height, width, rows, cols, tile, tile)


@dataclass(frozen=True)
class LabelRule:
    """How the pixels of a label file become ids.

    Attributes:
        allowed: Ids that may come out, beside ``ignore``.
        ignore: What unknown colours and pixels without image data become.
        mapping: Raw value -> id, for files of one band; a value not named stays as it is.
        colours: Id -> colours. Files of three bands are read by them, and files with a palette by
            the palette's colours. Empty: only files of one band, by value.
        ignored_colours: Colours that are known to mean no class; they are not counted as unknown.
        by_value: Files with a palette are read by value all the same.
        tolerance: Of the colours.
        max_unknown_ratio: Largest share of a file's pixels with a colour of no class.
        threshold: Values of one band from here on are 1, others 0; instead of ``mapping``.
        honours_nodata: What a label file declares as nodata becomes ``ignore``, unless
            ``mapping`` or ``colours`` name it.
    """

    allowed: tuple[int, ...]
    ignore: int
    mapping: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[int, tuple[Rgb, ...]], ...] = ()
    ignored_colours: tuple[Rgb, ...] = ()
    by_value: bool = False
    tolerance: int = 0
    max_unknown_ratio: float = 0.01
    threshold: int | None = None
    honours_nodata: bool = False

    def codec(self) -> PaletteCodec:
        """The table of colours; ``IGNORED_ID`` stands for the ignored ones."""
        colours = dict(self.colours)
        if self.ignored_colours:
            colours[IGNORED_ID] = self.ignored_colours
        return PaletteCodec(colours, unknown_id=self.ignore, tolerance=self.tolerance)


@dataclass(frozen=True)
class PolygonLabels:
    """Labels as polygons.

    Attributes:
        path: GeoPackage, GeoJSON or Shapefile.
        class_field: Its attribute that names the class; None burns all as ``default_id``.
        ids: Value of the attribute, as text -> id.
        default_id: Id of polygons without an attribute to look at.
        background: Id where there is no polygon.
        layer: Of a GeoPackage with several.
    """

    path: Path
    class_field: str | None
    ids: tuple[tuple[str, int], ...]
    default_id: int
    background: int
    layer: str | None = None


@dataclass(frozen=True)
class LabelJob:
    """One kind of labels of an image, and the folder that its tiles go to."""

    folder: str
    source: SourceFile | PolygonLabels


@dataclass(frozen=True)
class ImageJob:
    """One source image: what is read, how it is cut, where its tiles go.

    Attributes:
        id: Unique name of the source image in its set.
        split: The part it belongs to, as the manifest says.
        image: The image.
        labels: Its labels; the first are the ones that the histogram counts.
        stack: Rasters whose first band is appended to the image's, such as a surface model.
        image_folder: Where image tiles go, below the output.
        stem: Tile names without ending begin with it.
        tiling: How it is cut.
        image_suffix: Ending of image tiles; `.png`, `.tif`, or any where files are copied.
        label_suffix: Ending of label tiles.
        copy_image: Copy the image's bytes, where it is not cut.
        rule: How labels are read.
        bands: Bands of the image to keep, counted from 1; empty keeps all.
        reproject: Bring labels on another grid to the image's.
        list_only: Write no tile, only list the windows.
    """

    id: str
    split: str
    image: SourceFile
    labels: tuple[LabelJob, ...]
    image_folder: str
    stem: str
    rule: LabelRule
    tiling: Tiling = Tiling()
    stack: tuple[SourceFile, ...] = ()
    image_suffix: str = ".png"
    label_suffix: str = ".png"
    copy_image: bool = False
    bands: tuple[int, ...] = ()
    reproject: bool = False
    list_only: bool = False

    def sources(self) -> list[SourceFile]:
        """All files that it reads, polygons left out."""
        rasters = [job.source for job in self.labels if isinstance(job.source, SourceFile)]
        return [self.image, *rasters, *self.stack]

    def fingerprint(self) -> str:
        """A text that is the same as long as the tiles would be.

        Where a member of an archive is unpacked to differs from run to run, so files count by
        name, size and stamp.
        """
        parts: list[object] = [
            (f.name, getattr(self, f.name))
            for f in fields(self)
            if f.name not in ("image", "labels", "stack")
        ]
        parts += [(file.name, file.size, file.stamp) for file in self.sources()]
        for job in self.labels:
            source = job.source
            polygons = isinstance(source, PolygonLabels)
            parts += [job.folder, (source, source.path.stat().st_mtime_ns) if polygons else ""]
        return repr(parts)


@dataclass
class JobResult:
    """What became of a source image; ``record`` goes into the manifest as it is."""

    id: str
    record: dict[str, Any] = field(default_factory=dict)
    skipped: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a converter makes of a source.

    Attributes:
        jobs: One for each source image.
        classes: Id -> name in the files that are written, the ignored one left out.
        ignore: Id of pixels that belong to no class.
        palette: Id -> colour, for pictures.
        config: Which configs read the result, and what to set in them.
        notes: Lines to print and to keep in the manifest.
        skipped: Source -> why it is left out.
        block: Content of a file ``dataset.py`` to write, a config of the data; none if empty.
    """

    jobs: tuple[ImageJob, ...]
    classes: Mapping[int, str]
    ignore: int | None
    palette: Mapping[int, Rgb]
    config: str
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    block: str = ""


def add_counts(total: Counter[int], more: Mapping[str, int]) -> None:
    """Add a histogram as it is stored in JSON, where ids are text."""
    for label, count in more.items():
        total[int(label)] += count
