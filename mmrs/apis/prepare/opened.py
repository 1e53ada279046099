"""A job's files, opened: an image with what is stacked on it, and its labels on its grid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.checks.exif import exif_turn, turned
from mmrs.apis.prepare.files import file_sha256
from mmrs.apis.prepare.job import ImageJob, LabelJob, LabelRule, PolygonLabels
from mmrs.apis.prepare.label_files import LabelFile, read_colour_table
from mmrs.apis.prepare.polygons import cached_polygons
from mmrs.errors import DataError
from mmrs.geo.aligned_labels import AlignedLabels
from mmrs.geo.checksums import verify_png
from mmrs.geo.raster import Georeference, Raster
from mmrs.geo.rasterize import NO_POLYGON, Polygons
from mmrs.geo.source_file import SourceFile, fetch
from mmrs.geo.window_reader import grid_difference
from mmrs.geo.windows import Window

# One decoded block of a raster: a file that asks for more was made to exhaust memory.
_MAX_BLOCK_BYTES = 1 << 30
# Of a corner, in pixels of the image: what rounding in a file's numbers makes.
_GRID_TOLERANCE_PX = 0.01
# 262,144 px squared; a file of some bytes can claim to be larger.
_MAX_PIXELS = 1 << 36


class OpenImage:
    """An image and what is stacked on it, opened."""

    def __init__(self, job: ImageJob, scratch: Path) -> None:
        self.job = job
        self._stack = ExitStack()
        self._files: list[tuple[str, SourceFile, Path]] = []
        self._scratch = scratch
        self.undeclared = 0
        self._turned: tuple[NDArray[Any], NDArray[np.bool_]] | None = None

    def __enter__(self) -> OpenImage:
        with ExitStack() as stack:
            self.path = stack.enter_context(fetch(self.job.image, self._scratch))
            self._files.append(("image", self.job.image, self.path))
            self.raster = stack.enter_context(
                _named_raster(self.path, self.job.image.where, self.job.bands)
            )
            # pictures with a palette are read as the colours that they show
            self._table = read_colour_table(self.raster)
            self.extra = []
            for index, file in enumerate(self.job.stack):
                path = stack.enter_context(fetch(file, self._scratch))
                self._files.append((f"stack:{index}", file, path))
                extra = stack.enter_context(_named_raster(path, file.where))
                self._check_stacked(extra, file.where)
                self.extra.append(extra)
            self._stack = stack.pop_all()
        self.height, self.width = self.raster.height, self.raster.width
        # labels are drawn on what viewers show
        placed = self.raster.georeference.transform is not None
        self.turn = 1 if placed else exif_turn(self.path)
        if self.turn >= 5:
            self.height, self.width = self.width, self.height
        self.count = (self.raster.count if self._table is None else 3) + len(self.extra)
        self.dtype = str(np.result_type(self.raster.dtype, *(extra.dtype for extra in self.extra)))
        self.georeference: Georeference = self.raster.georeference
        return self

    @property
    def tile_nodata(self) -> float | None:
        """What tiles declare: the image's own, where its values are not turned into colours."""
        if self._table is not None:
            return None
        if self.raster.nodata is None and np.issubdtype(np.dtype(self.dtype), np.floating):
            return float("nan")  # such pixels are ignored in the labels
        return self.raster.nodata

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        # the files' own contexts name them in errors of reading
        return self._stack.__exit__(kind, error, trace)

    def read(
        self, window: Window, own: tuple[slice, slice]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """(h, w, bands) pixels and (h, w) which of them hold data.

        Args:
            window: The window.
            own: Its rows and columns in which values that are not finite count.
        """
        pixels, valid, undeclared = self._read(window)
        if undeclared:
            told = self.raster.declared_valid(window, pixels) & ~valid
            self.undeclared += int(told[own].sum())
        if self._table is not None:
            pixels = self._table[pixels[..., 0]]
        if self.extra:
            parts = [pixels] + [_read_padded(extra, window) for extra in self.extra]
            pixels = np.concatenate([part.astype(self.dtype) for part in parts], axis=-1)
        return pixels, valid

    def _read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        if self.turn == 1:
            return self.raster.read_with_valid(window)
        if self._turned is None:  # pictures with EXIF are as small as a camera's
            pixels, valid, _ = self.raster.read_with_valid()
            self._turned = turned(pixels, self.turn), turned(valid, self.turn)
        whole, valid = self._turned
        return np.ascontiguousarray(whole[window.slices]), valid[window.slices], 0

    def sources(self) -> dict[str, Any]:
        return {kind: _source_record(file, path) for kind, file, path in self._files}

    def _check_stacked(self, extra: Raster, name: str) -> None:
        """A surface model may lack its last row or column, as one of Potsdam's does."""
        missing = (self.raster.height - extra.height, self.raster.width - extra.width)
        if not all(0 <= number <= 1 for number in missing):
            raise DataError(
                f"is {extra.height} x {extra.width} but its image {self.job.image.name} is "
                f"{self.raster.height} x {self.raster.width} (rows x columns)",
                where=name,
                fix="give rasters of one size, or leave it out",
            )


class OpenLabels:
    """One kind of labels of an image: a raster on its grid or another, or polygons."""

    def __init__(self, job: ImageJob, one: LabelJob, image: OpenImage, scratch: Path) -> None:
        self.job = one
        self._job = job
        self._image = image
        self._scratch = scratch
        self._stack = ExitStack()
        self.file: LabelFile | None = None
        self._aligned: AlignedLabels | None = None

    def __enter__(self) -> OpenLabels:
        source = self.job.source
        with ExitStack() as stack:
            if isinstance(source, PolygonLabels):
                self._polygons = self._open_polygons(source)
            else:
                self._path = stack.enter_context(fetch(source, self._scratch))
                self.file = stack.enter_context(
                    _named_labels(self._path, self._job.rule, source.where)
                )
                self._check_grid(self.file, source.where)
                if self._aligned is not None:
                    stack.callback(self._aligned.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        # the files' own contexts name them in errors of reading
        return self._stack.__exit__(kind, error, trace)

    def read(self, window: Window, own: tuple[slice, slice]) -> NDArray[np.uint8]:
        if self.file is None:
            return self._burn(window)
        if self._aligned is not None:
            pixels, valid = self._aligned.read(window)
            return self.file.decode(pixels, window, own, valid)
        return self.file.read(window, own)

    def source(self) -> dict[str, Any]:
        if isinstance(self.job.source, PolygonLabels):
            path = self.job.source.path
            return {
                "name": path.name,
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
            }
        return _source_record(self.job.source, self._path)

    def _open_polygons(self, source: PolygonLabels) -> Polygons:
        place = self._image.georeference
        if place.crs is None or place.transform is None:
            raise DataError(
                "has no CRS or no grid, so polygons cannot be placed on it",
                where=self._job.image.where,
                fix="give it its georeference (gdal_edit.py -a_srs ... -a_ullr ...)",
            )
        polygons = cached_polygons(source, os.stat(source.path).st_mtime_ns)
        return polygons.near(self._image.raster)

    def _burn(self, window: Window) -> NDArray[np.uint8]:
        source, transform = self.job.source, self._image.georeference.transform
        if not isinstance(source, PolygonLabels) or transform is None:
            raise ValueError("nothing to burn")
        burnt = self._polygons.burn(window, transform)
        return np.where(burnt == NO_POLYGON, source.background, burnt).astype(np.uint8)

    def _check_grid(self, file: LabelFile, name: str) -> None:
        label, image = file.raster, self._image.raster
        size = self._image.height, self._image.width
        if self._image.turn > 1 and (label.height, label.width) == size:
            return
        told = grid_difference(label, image, tolerance_px=_GRID_TOLERANCE_PX)
        if told is None and self._image.turn < 5:
            return
        if self._job.reproject:
            self._aligned = AlignedLabels(label.path, image)
            return
        one, other = label.georeference, image.georeference
        both = one.transform is not None and other.transform is not None
        if (label.height, label.width) != size:
            turn = ", turned as its EXIF says" if self._image.turn > 1 else ""
            raise DataError(
                f"label is {label.height} x {label.width} but its image {self._job.image.name} "
                f"is {size[0]} x {size[1]} (rows x columns{turn})",
                where=name,
                fix="give both one size"
                + (", or --reproject labels to their images" if both else ""),
            )
        raise DataError(
            f"label lies at {_place(one)} but its image {self._job.image.name} at {_place(other)}",
            where=name,
            fix="--reproject brings labels to the grid of their images",
        )


def _source_record(file: SourceFile, path: Path) -> dict[str, Any]:
    return {"name": file.name, "bytes": file.size, "sha256": file_sha256(path)}


@contextmanager
def _named(name: str, path: Path) -> Iterator[None]:
    """Call a file by its name in the source: a member's copy has a name of ours."""
    try:
        yield
    except DataError as error:
        if error.where is None or str(path) not in error.where or error.where == name:
            raise
        raise type(error)(error.what, where=name, fix=error.fix) from error


@contextmanager
def _named_raster(path: Path, name: str, bands: tuple[int, ...] = ()) -> Iterator[Raster]:
    verify_png(path, name=name)
    with _named(name, path), Raster(path, bands=bands or None) as raster:
        check_block(raster, name)
        yield raster


@contextmanager
def _named_labels(path: Path, rule: LabelRule, name: str) -> Iterator[LabelFile]:
    verify_png(path, name=name)
    with _named(name, path), LabelFile(path, rule, name) as labels:
        check_block(labels.raster, name)
        yield labels


def check_block(raster: Raster, name: str) -> None:
    """Refuse a raster whose blocks alone would fill the memory, or whose size is a bomb's."""
    if raster.height * raster.width > _MAX_PIXELS:
        raise DataError(
            f"claims {raster.height} x {raster.width} px, more than {_MAX_PIXELS}",
            where=name,
            fix="cut it into several files (gdal_translate -srcwin ...)",
        )
    height, width = raster.dataset.block_shapes[0]
    size = height * width * raster.count * np.dtype(raster.dtype).itemsize
    if size > _MAX_BLOCK_BYTES:
        raise DataError(
            f"is stored in blocks of {height} x {width} px, {size / 2**30:.1f} GiB each",
            where=name,
            fix="store it in tiles (gdal_translate -co TILED=YES)",
        )


def _read_padded(extra: Raster, window: Window) -> NDArray[Any]:
    """A window that may reach one row and column beyond the raster; zeros stand there."""
    height = min(window.height, extra.height - window.row)
    width = min(window.width, extra.width - window.col)
    part = extra.read(Window(window.row, window.col, height, width))[..., :1]
    rest = ((0, window.height - height), (0, window.width - width), (0, 0))
    return np.pad(part, rest)


def _place(georeference: Georeference) -> str:
    crs = "no CRS" if georeference.crs is None else georeference.crs.to_string()
    if georeference.transform is None:
        return crs
    numbers = ", ".join(f"{value:.10g}" for value in list(georeference.transform)[:6])
    return f"{crs} ({numbers})"
