"""One source image into tiles: read, check, cut, write, count."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from mmrs.apis.prepare.files import write_whole
from mmrs.apis.prepare.job import ImageJob, JobResult
from mmrs.apis.prepare.opened import OpenImage, OpenLabels
from mmrs.errors import DataError
from mmrs.geo.raster import GDAL_CACHE_BYTES
from mmrs.geo.tile_files import encode_tile, window_georeference
from mmrs.geo.windows import Window, WindowPlan


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
        # GDAL's own is a share of the machine's memory, in each of the workers
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
        image = stack.enter_context(OpenImage(job, scratch))
        labels = [stack.enter_context(OpenLabels(job, one, image, scratch)) for one in job.labels]
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


class _Cut:
    """The tiles of one image."""

    def __init__(
        self,
        job: ImageJob,
        root: Path,
        image: OpenImage,
        labels: list[OpenLabels],
        plan: WindowPlan,
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
                one.file.check_unknown()

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
        record["undeclared_nan_pixels"] = self.image.undeclared
        if self.image.georeference.crs is not None:
            record["crs"] = self.image.georeference.crs.to_string()
        if self.image.georeference.transform is not None:
            record["transform"] = list(self.image.georeference.transform)[:6]
        return record

    def _tile(self, window: Window, own: tuple[slice, slice]) -> None:
        pixels, valid = self.image.read(window, own)
        place = window_georeference(self.image.georeference, window)
        stem = self._stem(window)
        files: dict[str, bytes] = {}
        if self.job.copy_image and self.whole:
            files[f"{self.job.image_folder}/{stem}{self.job.image_suffix}"] = (
                self.image.path.read_bytes()
            )
        else:
            suffix = self.job.image_suffix
            encoded = encode_tile(pixels, suffix, georeference=place, nodata=self.image.tile_nodata)
            for ending, content in encoded.items():
                files[f"{self.job.image_folder}/{stem}{ending}"] = content
        for index, one in enumerate(self.labels):
            labels = one.read(window, own)
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
