"""What a user may ask of a preparation."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.job import Edge, Tiling
from mmrs.geo.archive_checks import ArchiveLimits


@dataclass(frozen=True)
class Options:
    """Settings of a preparation; None leaves one to the data set's converter.

    Attributes:
        tile: Side of a tile in pixels; 0 keeps images whole.
        stride: Pixels from a tile to the next.
        tiles_per_side: Evenly spread tiles along each side of an image, in place of a stride.
        edge: Last tiles flush with the edge, or what fills no tile dropped.
        format: Of image tiles: png or tif.
        tolerance: Largest difference of a channel to a class's colour.
        max_unknown_ratio: Largest share of a label file's pixels with a colour of no class.
        labels: ISPRS: full, eroded or both.
        dsm: ISPRS: ignore the surface model or stack it as a band.
        imagery: Potsdam: rgb, irrg or rgbir.
        version: Mapillary Vistas: v1.2 or v2.0.
        images: generic: folder of the images below the source.
        annotations: generic: folder of the labels below the source.
        polygons: generic: a file of polygons that labels all images.
        class_field: generic: the polygons' attribute with the class.
        classes: generic: names of the classes in the order of their ids.
        palette: generic: (name, colours) for labels that are colours.
        label_map: Raw value of a label file -> id.
        threshold: Label values from here on are 1, others 0.
        by_value: Labels with a palette are read by their values, not by their colours.
        bands: Bands of the images to keep, counted from 1.
        split_ratio: Share of the source images that validate.
        split_seed: Another seed, another division.
        group: Regular expression; what its first group finds in an image's name goes to one part.
        reproject: Bring labels to the grid of their images.
        skip_bad: Leave out, and list, what cannot be read or has no partner.
    """

    tile: int | None = None
    stride: int | None = None
    tiles_per_side: int | None = None
    edge: Edge | None = None
    format: Literal["png", "tif"] | None = None
    tolerance: int | None = None
    max_unknown_ratio: float | None = None
    labels: Literal["full", "eroded", "both"] | None = None
    dsm: Literal["ignore", "stack"] | None = None
    imagery: Literal["rgb", "irrg", "rgbir"] | None = None
    version: Literal["v1.2", "v2.0"] | None = None
    images: str | None = None
    annotations: str | None = None
    polygons: Path | None = None
    class_field: str | None = None
    classes: tuple[str, ...] | None = None
    palette: tuple[tuple[str, tuple[tuple[int, int, int], ...]], ...] | None = None
    label_map: tuple[tuple[int, int], ...] | None = None
    threshold: int | None = None
    by_value: bool | None = None
    bands: tuple[int, ...] | None = None
    split_ratio: float | None = None
    split_seed: int | None = None
    group: str | None = None
    reproject: bool | None = None
    skip_bad: bool | None = None

    def given(self) -> dict[str, object]:
        """Options that are not left to the converter."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def check(self, name: str, allowed: frozenset[str]) -> None:
        """Refuse what has no meaning for a data set, rather than leave it without effect.

        Raises:
            UsageError: An option is given that the converter does not take, or is out of range.
        """
        for option in self.given():
            if option not in allowed and option != "skip_bad":
                raise UsageError(
                    f"--{option.replace('_', '-')} has no meaning for {name}",
                    fix=f"{name} takes "
                    + (", ".join(f"--{o.replace('_', '-')}" for o in sorted(allowed)) or "none"),
                )
        for option, low, high in (
            ("tile", 0, 1 << 20),
            ("stride", 1, 1 << 20),
            ("tiles_per_side", 1, 10_000),
            ("tolerance", 0, 127),
            ("max_unknown_ratio", 0, 1),
            ("threshold", 1, 65535),
            ("split_ratio", 0, 1),
        ):
            value = getattr(self, option)
            if value is not None and not low <= value <= high:
                raise UsageError(
                    f"--{option.replace('_', '-')} must be {low} to {high}, got {value}"
                )
        if self.stride is not None and self.tiles_per_side is not None:
            raise UsageError("--stride and --tiles-per-side both set the step", fix="give one")

    def tiling(
        self, *, tile: int | None, stride: int | None = None, edge: Edge = "flush"
    ) -> Tiling:
        """The tiling asked for, over a converter's own.

        Raises:
            UsageError: A stride without tiles, or one that leaves gaps.
        """
        side = tile if self.tile is None else (self.tile or None)
        if self.stride is not None:
            step: int | None = self.stride
        else:
            step = stride if side == tile else None
        if side is None and (self.stride or self.tiles_per_side):
            raise UsageError("a stride needs tiles", fix="give --tile as well")
        if side is not None and step is not None and step > side:
            raise UsageError(
                f"--stride must be <= --tile ({side}), or pixels between tiles are lost, got {step}"
            )
        return Tiling(side, step, self.tiles_per_side, self.edge or edge)


@dataclass(frozen=True)
class RunOptions:
    """How a preparation runs, which does not change what it makes.

    Attributes:
        workers: Processes; 0 works in this one. None: as many as there are processors, at most 8.
        overwrite: Replace a prepared set that is there.
        limits: Of archives.
    """

    workers: int | None = None
    overwrite: bool = False
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
