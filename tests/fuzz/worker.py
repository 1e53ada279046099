"""Reads mutants in a process of its own, which may crash or hang: a line of JSON for each.

python -m tests.fuzz.worker SEED FIRST COUNT SCRATCH
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmrs.apis.environment import prepare_process
from mmrs.errors import MmrsError
from tests.fake_data import make_geotiff
from tests.fuzz.mutants import HEIGHT, WIDTH, Mutant, make_mutant


class Stub:
    """As much of a data set as the checks ask for."""

    metainfo = {"classes": ("a", "b", "c"), "palette": [[0, 0, 0], [255, 0, 0], [0, 255, 0]]}
    ignore_index = 255
    reduce_zero_label = False


def main(seed: int, first: int, count: int, scratch: Path) -> None:
    """Read mutants, and tell of each what came of it."""
    prepare_process()
    # what is no error here must not become one, and must not fill the pipe either
    warnings.simplefilter("ignore")
    readers = Readers(scratch)
    imported_mb = peak_mb()  # PyTorch and MMSegmentation alone: 0.5 to 1 GB, by their build
    for number in range(first, first + count):
        mutant = make_mutant(seed, number)
        # first of all who it is: a crash says nothing more
        print(json.dumps({"number": number, "name": mutant.name, "how": mutant.how}), flush=True)
        told = {"number": number, "outcome": readers.read(mutant)}
        told["passed"] = readers.passed
        told["grown_mb"] = peak_mb() - imported_mb
        print(json.dumps(told), flush=True)


def peak_mb() -> int:
    """The most memory that this program has held, in MB.

    Linux hands ``ru_maxrss`` on to what a process starts: behind a large test run it would tell of
    that run.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Readers:
    """All ways in which a file comes in."""

    def __init__(self, scratch: Path) -> None:
        from mmcv.transforms import LoadImageFromFile
        from mmseg.datasets.transforms import LoadAnnotations

        from mmrs.apis.checks.pair_check import PairChecker
        from mmrs.apis.guarded_pipeline import GuardedPipeline
        from mmrs.datasets.transforms import CheckSample, LoadRaster

        for left in scratch.iterdir():
            # of a worker that was stopped
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self.scratch = scratch
        self.image, self.label = scratch / "whole.png", scratch / "ids.png"
        self.grid = scratch / "grid.tif"
        make_geotiff(self.grid, size_px=(HEIGHT, WIDTH))
        self.passed = 0
        ids = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 3
        Image.fromarray(np.dstack([ids * 50] * 3)).save(self.image)
        Image.fromarray(ids).save(self.label)
        check = CheckSample(num_classes=3)
        steps = [LoadImageFromFile(), LoadAnnotations()]
        self.checkers = [
            PairChecker(Stub(), steps),
            PairChecker(Stub(), [LoadRaster(), LoadAnnotations()]),
        ]
        self.pipelines = [
            GuardedPipeline(steps, check=check),
            GuardedPipeline([LoadRaster(), LoadAnnotations()], check=check),
        ]

    def read(self, mutant: Mutant) -> str:
        """``success``, ``refused``, or what is wrong with how it was told."""
        self.passed = 0
        path = self.scratch / mutant.name
        path.write_bytes(mutant.content)
        outcome = "success"
        try:
            ways = self._archive(path) if mutant.kind == "archive" else self._image(path)
            for way in ways:
                refusal = _refusal(way)
                if refusal is None:
                    self.passed += 1
                    continue
                outcome = "refused"
                if mutant.name not in refusal:
                    return f"does not name the file: {refusal}"
            return outcome
        except Exception:
            return f"internal error: {traceback.format_exc()}"
        finally:
            path.unlink()

    def _image(self, path: Path) -> Iterator[Callable[[], Any]]:
        from mmrs.geo.checksums import verify_checksums
        from mmrs.geo.raster import Raster
        from mmrs.geo.window_reader import WindowReader
        from mmrs.geo.windows import Window

        def read_raster() -> None:
            with Raster(path) as raster:
                assert raster.georeference is not None
                _ = raster.gsd_m, raster.slow_windows
                window = Window(0, 0, min(64, raster.height), min(64, raster.width))
                raster.read_valid(window)
                raster.read_with_valid(window)

        def read_windows() -> None:
            reader = WindowReader()
            try:
                reader.read(path, Window(0, 0, 32, 32))
                reader.read_labels(path, Window(0, 0, 32, 32), like=self.grid)
            finally:
                reader.close()

        yield read_raster
        yield read_windows
        yield lambda: verify_checksums(path)
        for info in (self._info(path, self.label), self._info(self.image, path)):
            for checker in self.checkers:
                yield lambda checker=checker, info=info: _raise_findings(checker, info)
            for pipeline in self.pipelines:
                yield lambda pipeline=pipeline, info=info: pipeline(dict(info, seg_fields=[]))

    def _info(self, image: Path, label: Path) -> dict:
        return {
            "img_path": str(image),
            "seg_map_path": str(label),
            "reduce_zero_label": False,
            "label_map": None,
            "seg_fields": [],
        }

    def _archive(self, path: Path) -> Iterator[Callable[[], Any]]:
        from mmrs.geo.archive import survey
        from mmrs.geo.archive_checks import ArchiveLimits
        from mmrs.geo.source_file import fetch

        unpacked = self.scratch / "unpacked"

        def unpack() -> None:
            limits = ArchiveLimits(max_bytes=1 << 24, max_files=100)
            try:
                for file in survey(path, unpacked, limits=limits):
                    with fetch(file, unpacked) as content:
                        content.read_bytes()
            finally:
                shutil.rmtree(unpacked, ignore_errors=True)
            ours = {self.image.name, self.label.name, self.grid.name, path.name}
            left = {p.name for p in self.scratch.iterdir()} - ours
            assert not left, f"left behind: {left}"

        yield unpack


def _raise_findings(checker: Any, info: dict) -> None:
    for finding in checker.check(info, whole=True).findings:
        if finding.level == "error":
            raise finding.error


def _refusal(way: Callable[[], Any]) -> str | None:
    try:
        way()
    except MmrsError as error:
        return str(error)
    return None


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
