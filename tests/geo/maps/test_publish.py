from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from mmrs.errors import OutputError
from mmrs.geo.georeference import Georeference
from mmrs.geo.maps.publish import Targets, count_labels, publish
from mmrs.geo.maps.raster_options import RasterOptions
from mmrs.geo.rows.row_spool import RowSpool
from mmrs.geo.rows.scene_rows import SceneRows, Wanted

ALL = Wanted(confidence=True, entropy=True, probabilities=True)
CLASSES = ("water", "é 中", "c")
PALETTE = [(0, 0, 255), (10, 20, 30), (1, 2, 3)]
PLACE = Georeference(CRS.from_epsg(32633), Affine(2, 0, 5e5, 0, -2, 5e6))
HEIGHT, WIDTH = 300, 270  # two tiles a side, and an overview
LONG = os.environ.get("MMRS_LONG_TESTS") == "1"
NAMES = ("confidence", "entropy", "probabilities")


def scene(seed: int = 0) -> SceneRows:
    rng = np.random.default_rng(seed)
    probabilities = rng.random((len(CLASSES), HEIGHT, WIDTH), dtype=np.float32)
    probabilities /= probabilities.sum(axis=0)
    rows = SceneRows(
        probabilities.argmax(axis=0).astype(np.uint8),
        probabilities.max(axis=0),
        probabilities.min(axis=0),
        probabilities,
    )
    invalid = np.zeros((HEIGHT, WIDTH), dtype=bool)
    invalid[:40, :50] = True
    rows.clear(invalid)
    return rows


def open_spool(folder: Path, *, resume: bool = False, **changes) -> RowSpool:
    options = {"wanted": ALL, "num_classes": len(CLASSES), "fingerprint": {}}
    return RowSpool(
        folder / "map.tif", width=WIDTH, height=HEIGHT, resume=resume, **{**options, **changes}
    )


def all_targets(folder: Path, **options) -> Targets:
    scores = {name: folder / f"{name}.tif" for name in NAMES}
    return Targets(folder / "map.tif", **scores, options=RasterOptions(**options))


def run(spool: RowSpool, targets: Targets, **more) -> np.ndarray:
    return publish(spool, targets, georeference=PLACE, classes=CLASSES, palette=PALETTE, **more)


def fill(spool: RowSpool, rows: SceneRows, *, step: int = 70) -> None:
    while spool.rows < HEIGHT:
        end = min(spool.rows + step, HEIGHT)
        scores = (getattr(rows, name)[..., spool.rows : end, :] for name in NAMES)
        spool.append(SceneRows(rows.labels[spool.rows : end], *scores))


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_file_holds_the_rows_to_the_last_step(tmp_path: Path, form: str, dtype: str) -> None:
    rows, seen = scene(), []
    with rasterio.Env(), open_spool(tmp_path, score_dtype=dtype) as spool:
        fill(spool, rows)
        counts = run(spool, all_targets(tmp_path, format=form), sinks=[seen.append])
        code = spool.code
        spool.delete()
    np.testing.assert_array_equal(counts, np.bincount(rows.labels.ravel(), minlength=256))
    assert sorted(os.listdir(tmp_path)) == sorted(["map.tif", *(f"{name}.tif" for name in NAMES)])
    with rasterio.open(tmp_path / "map.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), rows.labels)
        assert (dataset.crs, dataset.transform) == (PLACE.crs, PLACE.transform)
    for name in NAMES:
        expected = getattr(rows, name)
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            stored = dataset.read() if expected.ndim == 3 else dataset.read(1)
            np.testing.assert_array_equal(stored, code.encode(expected))
            # as a program shows it that knows nodata, scale and offset
            shown = dataset.read(masked=True).reshape(expected.shape)
            shown = shown * dataset.scales[0] + dataset.offsets[0]
            np.testing.assert_array_equal(shown.mask, np.isnan(expected))
            np.testing.assert_allclose(shown.filled(np.nan), expected, atol=0.51 * code.scale)
            assert dataset.descriptions == (CLASSES if name == "probabilities" else (name,))
            assert (dataset.crs, dataset.transform) == (PLACE.crs, PLACE.transform)
        # those who take rows as they are published see what the file holds
        found = np.concatenate([getattr(piece, name) for piece in seen], axis=-2)
        np.testing.assert_array_equal(found, code.decode(code.encode(expected)))
    np.testing.assert_array_equal(np.concatenate([piece.labels for piece in seen]), rows.labels)


def test_what_gdal_kept_of_the_old_files_goes_with_them_and_not_before(tmp_path: Path) -> None:
    targets = all_targets(tmp_path)
    companions = [
        Path(f"{path}{suffix}") for path in targets.paths for suffix in (".aux.xml", ".ovr", ".msk")
    ]
    with open_spool(tmp_path) as spool:
        fill(spool, scene())
        for path in companions:
            path.write_text("of the old file")

        def fail() -> None:
            raise RuntimeError("boom")

        with pytest.raises(RuntimeError, match="boom"):
            run(spool, targets, finish=fail)
        assert all(path.exists() for path in companions)
        run(spool, targets)
    assert not any(path.exists() for path in companions)
    with rasterio.open(targets.class_map) as dataset:
        assert dataset.files == [str(targets.class_map)]


@pytest.mark.parametrize("where", ["sink", "finish"])
def test_an_error_of_those_who_take_rows_leaves_every_old_file(tmp_path: Path, where: str) -> None:
    def fail(*_) -> None:
        raise RuntimeError("boom")

    targets = all_targets(tmp_path)
    for path in targets.paths:
        path.write_text("old")
    more = {"sinks": [fail]} if where == "sink" else {"finish": fail}
    with open_spool(tmp_path) as spool:
        fill(spool, scene())
        with pytest.raises(RuntimeError, match="boom"):
            run(spool, targets, **more)
        assert [path.read_text() for path in targets.paths] == ["old"] * 4
        assert len(os.listdir(tmp_path)) == 5  # and the spool


def test_nothing_appears_before_the_last_file_was_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmrs.geo.maps import raster_output

    done, read_back = [], raster_output.read_back

    def watched(written: Path, target: Path, *args, **kwargs) -> None:
        read_back(written, target, *args, **kwargs)
        done.append(target.name)
        assert not any(path.exists() for path in targets.paths)
        if len(done) == 4:
            raise OutputError("the last one fails")

    monkeypatch.setattr(raster_output, "read_back", watched)
    targets = all_targets(tmp_path)
    with open_spool(tmp_path) as spool:
        fill(spool, scene())
        with pytest.raises(OutputError, match="the last one fails"):
            run(spool, targets)
    assert len(done) == 4 and os.listdir(tmp_path) == [".map.tif.mmrs-rows"]


def test_a_spool_damaged_on_the_disk_publishes_nothing(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool:
        fill(spool, scene())
        with spool.path.open("r+b") as file:
            file.seek(-100, os.SEEK_END)
            file.write(b"damage")
        with pytest.raises(OutputError, match=r"map\.tif: the rows from 280 on.*were damaged"):
            run(spool, all_targets(tmp_path))
    assert os.listdir(tmp_path) == [".map.tif.mmrs-rows"]


def test_what_cannot_be_published_is_refused(tmp_path: Path) -> None:
    with open_spool(tmp_path, wanted=Wanted()) as spool:
        with pytest.raises(ValueError, match="the spool holds 0 of 300 rows"):
            run(spool, Targets(tmp_path / "map.tif"))
        spool.append(SceneRows(scene().labels))
        with pytest.raises(ValueError, match="the spool holds no probabilities"):
            run(spool, all_targets(tmp_path))
    with open_spool(tmp_path) as spool:
        fill(spool, scene())
        same = Targets(tmp_path / "map.tif", entropy=tmp_path / "x" / ".." / "map.tif")
        with pytest.raises(OutputError, match="two of the outputs are this one file"):
            run(spool, same)
        with pytest.raises(OutputError, match=r"e\.png: a map is a GeoTIFF"):
            run(spool, Targets(tmp_path / "map.tif", entropy=tmp_path / "e.png"))


@pytest.mark.parametrize("num_classes", [1, 3, 255])
def test_labels_are_counted(num_classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, (30, 40), dtype=np.uint8)
    labels[0] = 255
    for counted in (labels, np.where(labels == 0, 77, labels).astype(np.uint8)):
        found = count_labels(counted, num_classes)
        np.testing.assert_array_equal(found, np.bincount(counted.ravel(), minlength=256))


# --- what ends a run: the process is killed, or the disk is full

SERVER = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.geo.maps.test_publish import all_targets, fill, open_spool, run, scene
for line in sys.stdin:
    folder, seed, form, resume = line.rstrip().split("|")
    child = os.fork()
    if child:
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)
        continue
    rows = scene(int(seed))
    with open_spool(Path(folder), resume=resume == "1", fingerprint={{"seed": seed}}) as spool:
        fill(spool, rows, step=17)
        run(spool, all_targets(Path(folder), format=form))
        spool.delete()
    os._exit(0)
"""


class Runs:
    """Runs in processes of their own, from one that has loaded everything."""

    def __init__(self, folder: Path, form: str):
        code = SERVER.format(root=str(Path(__file__).parents[3]))
        self.folder, self.form = folder, form
        self.server = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, seed: int, *, resume: bool, seconds: float | None = None) -> float:
        """Run to the end, or for so long; returns how long it took."""
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(f"{self.folder}|{seed}|{self.form}|{int(resume)}\n")
        self.server.stdin.flush()
        process, begin = int(self.server.stdout.readline()), time.monotonic()
        if seconds is not None:
            time.sleep(seconds)
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(process, signal.SIGKILL)
        status = int(self.server.stdout.readline())
        assert status == 0 or (seconds is not None and status == signal.SIGKILL)
        return time.monotonic() - begin

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_) -> None:
        self.server.communicate()


def published(folder: Path) -> dict[str, bytes]:
    """Pixels of the files, by name."""
    found = {}
    for path in sorted(folder.glob("[!.]*.tif")):
        with rasterio.open(path) as dataset:
            found[path.name] = dataset.read().tobytes()
    return found


@pytest.mark.parametrize("form", ["gtiff", "cog"])
def test_a_killed_run_leaves_old_files_or_new_ones_and_a_resume_gives_the_same(
    tmp_path: Path, form: str
) -> None:
    with Runs(tmp_path, form) as runs:
        _sweep_kills(runs, tmp_path, form)


def _sweep_kills(runs: Runs, tmp_path: Path, form: str) -> None:
    runs.run(2, resume=False)
    new = published(tmp_path)
    took = runs.run(1, resume=False)
    old = published(tmp_path)
    assert set(old) == set(new) == {"map.tif", *(f"{name}.tif" for name in NAMES)}
    assert all(old[name] != new[name] for name in old)
    rng = np.random.default_rng(3)
    kills = 50 if LONG else {"gtiff": 3, "cog": 2}[form]
    hits = {"while the rows were kept": 0, "while files were written": 0, "between renames": 0}
    for _ in range(kills):
        runs.run(2, resume=False, seconds=rng.uniform(0, took))
        found = published(tmp_path)
        for name, pixels in found.items():
            assert pixels in (old[name], new[name]), name
        is_new = {found[name] == new[name] for name in found}
        leftovers = list(tmp_path.glob(".*.part*"))
        hits["between renames"] += len(is_new) == 2
        hits["while files were written"] += bool(leftovers) and is_new == {False}
        hits["while the rows were kept"] += not leftovers and is_new == {False}
        runs.run(2, resume=True)
        assert published(tmp_path) == new
        for leftover in leftovers:
            leftover.unlink()
        runs.run(1, resume=False)
    print(f"{form}: {kills} kills, {hits}")
    assert sum(hits.values()) > 0


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes of a file (Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("compress", ["deflate", "none"])
def test_a_full_disk_is_told_and_touches_no_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], form: str, compress: str
) -> None:
    targets = all_targets(tmp_path, format=form, compress=compress)
    with rasterio.Env(), open_spool(tmp_path) as spool:
        fill(spool, scene())
        run(spool, targets)
        largest = max(path.stat().st_size for path in targets.paths)
        assert spool.path.stat().st_size < largest or compress == "deflate"
        for path in targets.paths:
            path.unlink()
        for number, path in enumerate(targets.paths):
            path.write_text(f"old {number}")
        # the last bytes are those that decoders do not ask for
        offsets = [*np.linspace(0, largest - 9, 12 if LONG else 3).astype(int), largest - 1]
        for offset in offsets:
            with file_size_limit(int(offset)), pytest.raises(OutputError) as caught:
                run(spool, targets)
            told = str(caught.value)
            assert "\n" not in told and "Fix: free space" in told, told
            assert told.startswith(tuple(f"{path}: " for path in targets.paths))
            assert [path.read_text() for path in targets.paths] == [f"old {n}" for n in range(4)]
            assert len(os.listdir(tmp_path)) == 5, os.listdir(tmp_path)
        run(spool, targets)  # space was freed
    assert len(published(tmp_path)) == 4
    capfd.readouterr()  # what libtiff prints of it


def test_the_class_map_appears_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it, finds all that belongs to it."""
    named: list[str] = []
    rename = os.replace

    def told(old, new) -> None:
        rename(old, new)
        named.append(Path(new).name)

    monkeypatch.setattr("os.replace", told)
    with open_spool(tmp_path) as spool:
        spool.append(scene())
        publish(spool, all_targets(tmp_path), georeference=PLACE, classes=CLASSES, palette=PALETTE)
    assert named[-1] == "map.tif" and sorted(named) == sorted(
        [*(f"{n}.tif" for n in NAMES), "map.tif"]
    )
