"""One source image into tiles: read, check, cut, write, count."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.prepare.job import ImageJob, JobResult, LabelJob, LabelRule, PolygonLabels
from mmrs.apis.prepare.label_files import LabelFile, align, read_colour_table
from mmrs.errors import DataError, OutputError
from mmrs.geo.archive import SourceFile, fetch
from mmrs.geo.png_check import check_png
from mmrs.geo.raster import Georeference, Raster
from mmrs.geo.rasterize import NO_POLYGON, Polygons, read_polygons
from mmrs.geo.tile_files import encode_tile, window_georeference
from mmrs.geo.windows import Window, WindowPlan

# One decoded block of a raster: a file that asks for more was made to exhaust memory.
_MAX_BLOCK_BYTES = 1 << 30
# 262,144 px squared; a file of some bytes can claim to be larger.
_MAX_PIXELS = 1 << 36


def cut_image(job: ImageJob, root: Path, scratch: Path) -> JobResult:
    """Do one job.

    Args:
        job: What to do.
        root: Folder that the job's folders lie in.
        scratch: For members of archives, while they are read.

    Returns:
        What was done, with the checksums of what was read and written.

    Raises:
        DataError: A file is unreadable, or image and label do not belong together.
        OutputError: A tile cannot be written.
    """
    with ExitStack() as stack:
        image = stack.enter_context(_Image(job, scratch))
        labels = [stack.enter_context(_Labels(job, one, image, scratch)) for one in job.labels]
        try:
            plan = job.tiling.plan(image.height, image.width)
        except ValueError as error:
            raise DataError(
                f"{image.height} x {image.width} px cannot be cut as asked: {error}",
                where=job.image.where,
                fix="choose other --tile, --stride or --tiles-per-side",
            ) from error
        record: dict[str, Any] = {
            "id": job.id,
            "split": job.split,
            "size": [image.height, image.width],
            "bands": image.count,
            "dtype": image.dtype,
            "sources": {},
        }
        if plan is None:
            what = f"{image.height} x {image.width} px, smaller than a tile"
            return JobResult(job.id, record, skipped=what)
        if job.list_only:
            windows = [list(window) for window in plan]
            return JobResult(
                job.id,
                record | {"listed": True, "windows": windows, "tiles": [],
                          "sources": image.sources()},
            )  # fmt: skip
        work = _Cut(job, root, image, labels, plan)
        work.run()
        record["sources"] = image.sources() | {
            f"label:{one.job.folder}": one.source() for one in labels
        }
        record |= work.record()
    return JobResult(job.id, record)


class _Image:
    """An image and what is stacked on it, opened."""

    def __init__(self, job: ImageJob, scratch: Path) -> None:
        self.job = job
        self._stack = ExitStack()
        self._files: list[tuple[str, SourceFile, Path]] = []
        self._scratch = scratch
        self.undeclared = 0

    def __enter__(self) -> _Image:
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
        self.count = (self.raster.count if self._table is None else 3) + len(self.extra)
        self.dtype = str(np.result_type(self.raster.dtype, *(extra.dtype for extra in self.extra)))
        self.georeference: Georeference = self.raster.georeference
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        # the files' own contexts name them in errors of reading
        return self._stack.__exit__(kind, error, trace)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """(h, w, bands) pixels and (h, w) which of them hold data."""
        pixels, valid, undeclared = self.raster.read_with_valid(window)
        self.undeclared += undeclared
        if self._table is not None:
            pixels = self._table[pixels[..., 0]]
        if self.extra:
            parts = [pixels] + [_read_padded(extra, window) for extra in self.extra]
            pixels = np.concatenate([part.astype(self.dtype) for part in parts], axis=-1)
        return pixels, valid

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


class _Labels:
    """One kind of labels of an image: a raster on its grid or another, or polygons."""

    def __init__(self, job: ImageJob, one: LabelJob, image: _Image, scratch: Path) -> None:
        self.job = one
        self._job = job
        self._image = image
        self._scratch = scratch
        self._stack = ExitStack()
        self.file: LabelFile | None = None
        self._aligned: NDArray[np.uint8] | None = None

    def __enter__(self) -> _Labels:
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

    def read(self, window: Window) -> NDArray[np.uint8]:
        if self.file is None:
            return self._burn(window)
        if self._aligned is not None:
            return self._aligned[window.slices]
        return self.file.read(window)

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
        polygons = _cached_polygons(source, os.stat(source.path).st_mtime_ns)
        return polygons.to_crs(place.crs)

    def _burn(self, window: Window) -> NDArray[np.uint8]:
        source, transform = self.job.source, self._image.georeference.transform
        if not isinstance(source, PolygonLabels) or transform is None:
            raise ValueError("nothing to burn")
        burnt = self._polygons.burn(window, transform)
        return np.where(burnt == NO_POLYGON, source.background, burnt).astype(np.uint8)

    def _check_grid(self, file: LabelFile, name: str) -> None:
        label, image = file.raster, self._image.raster
        one, other = label.georeference, image.georeference
        both = one.transform is not None and other.transform is not None
        same_size = (label.height, label.width) == (image.height, image.width)
        same_grid = not both or (
            (one.crs is None or other.crs is None or one.crs == other.crs)
            and one.transform.almost_equals(other.transform, precision=_half_percent(other))
        )
        if same_size and same_grid:
            return
        if self._job.reproject:
            whole = file.read(label.full)
            self._aligned = align(whole, label, image, self._job.rule.ignore)
            return
        if not same_size:
            raise DataError(
                f"label is {label.height} x {label.width} but its image {self._job.image.name} "
                f"is {image.height} x {image.width} (rows x columns)",
                where=name,
                fix="give both one size"
                + (", or --reproject labels to their images" if both else ""),
            )
        raise DataError(
            f"label lies at {_place(one)} but its image {self._job.image.name} at {_place(other)}",
            where=name,
            fix="--reproject brings labels to the grid of their images",
        )


class _Cut:
    """The tiles of one image."""

    def __init__(
        self, job: ImageJob, root: Path, image: _Image, labels: list[_Labels], plan: WindowPlan
    ) -> None:
        self.job, self.root, self.image, self.labels, self.plan = job, root, image, labels, plan
        self.whole = len(plan) == 1 and (plan.window_height, plan.window_width) == (
            image.height,
            image.width,
        )
        self.tiles: list[dict[str, Any]] = []
        self.histogram: Counter[int] = Counter()
        self.tile_histogram: Counter[int] = Counter()
        self.invalid = 0

    def run(self) -> None:
        for window, own in zip(self.plan, own_parts(self.plan), strict=True):
            self._tile(window, own)
        for one in self.labels:
            if one.file is not None:
                one.file.check_unknown(self.image.height * self.image.width)

    def record(self) -> dict[str, Any]:
        """What the manifest keeps of it."""
        record: dict[str, Any] = {
            "windows": [list(window) for window in self.plan],
            "tiles": self.tiles,
        }
        if self.labels:
            unknown: Counter[str] = Counter()
            values: set[int] = set()
            for one in self.labels:
                if one.file is not None:
                    values |= one.file.values
                    for colour, count in one.file.unknown.items():
                        unknown["#{:02x}{:02x}{:02x}".format(*colour)] += count
            record["class_pixels"] = {str(k): v for k, v in sorted(self.histogram.items())}
            record["tile_class_pixels"] = {
                str(k): v for k, v in sorted(self.tile_histogram.items())
            }
            record["raw_values"] = sorted(values)[:256]
            record["unknown_colours"] = dict(unknown.most_common(32))
            record["unknown_pixels"] = unknown.total()
        record["invalid_pixels"] = self.invalid
        record["undeclared_nan_reads"] = self.image.undeclared
        if self.image.georeference.crs is not None:
            record["crs"] = self.image.georeference.crs.to_string()
        if self.image.georeference.transform is not None:
            record["transform"] = list(self.image.georeference.transform)[:6]
        return record

    def _tile(self, window: Window, own: tuple[slice, slice]) -> None:
        pixels, valid = self.image.read(window)
        place = window_georeference(self.image.georeference, window)
        stem = self._stem(window)
        files: dict[str, bytes] = {}
        if self.job.copy_image and self.whole:
            files[f"{self.job.image_folder}/{stem}{self.job.image_suffix}"] = (
                self.image.path.read_bytes()
            )
        else:
            suffix = self.job.image_suffix
            encoded = encode_tile(
                pixels, suffix, georeference=place, nodata=self.image.raster.nodata
            )
            for ending, content in encoded.items():
                files[f"{self.job.image_folder}/{stem}{ending}"] = content
        for index, one in enumerate(self.labels):
            labels = one.read(window)
            if not valid.all():
                labels = np.where(valid, labels, np.uint8(self.job.rule.ignore))
            if index == 0:
                self._count(self.histogram, labels[own])
                self._count(self.tile_histogram, labels)
            encoded = encode_tile(labels, self.job.label_suffix, georeference=place)
            for ending, content in encoded.items():
                files[f"{one.job.folder}/{stem}{ending}"] = content
        self.invalid += int((~valid[own]).sum())
        self.tiles.append({"stem": stem, "files": self._write(files)})

    def _stem(self, window: Window) -> str:
        if self.whole:
            return self.job.stem
        row, col, height, width = window
        return f"{self.job.stem}_{col}_{row}_{col + width}_{row + height}"

    def _write(self, files: dict[str, bytes]) -> dict[str, Any]:
        written = {}
        for name, content in files.items():
            write_whole(self.root / name, content)
            written[name] = [len(content), hashlib.sha256(content).hexdigest()]
        return written

    @staticmethod
    def _count(total: Counter[int], labels: NDArray[np.uint8]) -> None:
        counts = np.bincount(labels.reshape(-1), minlength=256)
        total.update({label: int(counts[label]) for label in np.flatnonzero(counts).tolist()})


def own_parts(plan: WindowPlan) -> Iterator[tuple[slice, slice]]:
    """The part of each window that no later one covers, so that every pixel counts once.

    Yields:
        Rows and columns inside the window.
    """
    rows = [*plan.row_starts[1:], plan.row_starts[-1] + plan.window_height]
    cols = [*plan.col_starts[1:], plan.col_starts[-1] + plan.window_width]
    for window in plan:
        line = plan.row_starts.index(window.row)
        column = plan.col_starts.index(window.col)
        # tiles that leave gaps own no more than themselves
        height = min(rows[line] - window.row, window.height)
        width = min(cols[column] - window.col, window.width)
        yield slice(0, height), slice(0, width)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all.

    It is not flushed to the disk one by one: the folder is published only after all are.

    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.stem[:60]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=path, fix="free space on the disk"
        ) from error
    finally:
        with suppress(OSError):  # where the folder is none, there is nothing to remove either
            temporary.unlink()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    check_png(path, name=name)
    with _named(name, path), Raster(path, bands=bands or None) as raster:
        check_block(raster, name)
        yield raster


@contextmanager
def _named_labels(path: Path, rule: LabelRule, name: str) -> Iterator[LabelFile]:
    check_png(path, name=name)
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


@lru_cache(maxsize=4)
def _cached_polygons(source: PolygonLabels, changed_ns: int) -> Polygons:
    del changed_ns  # part of the key only
    ids = dict(source.ids)
    polygons = read_polygons(
        source.path,
        attribute=source.class_field,
        id_of=ids or None,
        layer=source.layer,
    )
    if source.class_field is None:
        polygons = Polygons(
            polygons.path,
            polygons.geometries,
            np.full_like(polygons.ids, source.default_id),
            polygons.crs,
        )
    return polygons


def _half_percent(georeference: Georeference) -> float:
    return 0.005 * (georeference.gsd or 1.0)


def _place(georeference: Georeference) -> str:
    crs = "no CRS" if georeference.crs is None else georeference.crs.to_string()
    if georeference.transform is None:
        return crs
    numbers = ", ".join(f"{value:.10g}" for value in list(georeference.transform)[:6])
    return f"{crs} ({numbers})"
