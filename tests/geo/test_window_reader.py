"""Windows of rasters: what is valid in them, other grids, and other processes."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from mmrs.geo.raster import Raster
from mmrs.geo.window_reader import WindowReader, clip_window, grid_difference, pad_to
from mmrs.geo.windows import Window
from tests.geo.test_raster import write_tiff

UTM = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -2, 5_000_000)}


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, (20, 30, 3), dtype=np.uint8)


def read_in_child(reader: WindowReader, path: Path, queue: Any) -> None:
    inherited = len(reader._open)
    pixels, _, _ = reader.read(path, Window(3, 4, 5, 6))
    queue.put((inherited, pixels))


def test_a_window_over_the_edge_is_padded_and_not_valid_there(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels, **UTM)
    found, valid, undeclared = WindowReader().read(path, Window(15, 25, 8, 8))
    assert found.shape == (8, 8, 3) and found.dtype == np.uint8 and undeclared == 0
    np.testing.assert_array_equal(found[:5, :5], pixels[15:, 25:])
    assert not found[5:].any() and not found[:, 5:].any()
    np.testing.assert_array_equal(valid, np.pad(np.ones((5, 5), bool), ((0, 3), (0, 3))))


def test_pixels_without_data_are_zero(tmp_path: Path) -> None:
    pixels = np.full((6, 7, 2), 5, dtype=np.float32)
    pixels[1] = -9999
    pixels[2, 3, 1] = np.nan
    path = write_tiff(tmp_path / "a.tif", pixels, nodata=-9999, **UTM)
    found, valid, undeclared = WindowReader().read(path, Window(0, 0, 6, 7))
    expected = np.ones((6, 7), dtype=bool)
    expected[1] = expected[2, 3] = False
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(found, np.where(expected, 5, 0)[..., None].repeat(2, axis=2))
    assert undeclared == 1


def test_a_file_is_opened_once_and_only_so_many_stay_open(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = Raster.__init__
    monkeypatch.setattr(
        Raster, "__init__", lambda self, path, **k: (opened.append(path), real(self, path, **k))[1]
    )
    paths = [write_tiff(tmp_path / f"{i}.tif", pixels, **UTM) for i in range(3)]
    reader = WindowReader(max_open=2)
    for path in (paths[0], paths[0], paths[1], paths[0], paths[2], paths[0]):
        reader.read(path, Window(0, 0, 4, 4))
    assert opened == [paths[0], paths[1], paths[2]]
    reader.read(paths[1], Window(0, 0, 4, 4))
    assert len(reader._open) == 2 and opened[-1] == paths[1]
    reader.close()
    assert not reader._open


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_opens_its_own_handles(tmp_path: Path, pixels: np.ndarray, method: str) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels, **UTM)
    reader = WindowReader()
    before = reader.raster(path)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(reader, path, queue))
    child.start()
    inherited, found = queue.get(timeout=120)
    child.join(60)
    assert child.exitcode == 0
    np.testing.assert_array_equal(found, pixels[3:8, 4:10])
    # a forked one finds the parent's and leaves it alone; the others have none
    assert inherited == (1 if method == "fork" else 0)
    assert reader.raster(path) is before
    np.testing.assert_array_equal(before.read(), pixels)


def test_a_pickled_reader_holds_no_handles(tmp_path: Path, pixels: np.ndarray) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels, **UTM)
    reader = WindowReader(bands=[2], max_open=3)
    reader.raster(path)
    copy = pickle.loads(pickle.dumps(reader))
    assert not copy._open and (copy.bands, copy.max_open) == ((2,), 3)
    np.testing.assert_array_equal(copy.read(path, Window(0, 0, 20, 30))[0], pixels[..., 1:2])


def test_equal_grids_are_no_difference_and_others_are_told(tmp_path: Path) -> None:
    one = np.zeros((8, 9, 1), dtype=np.uint8)
    half = UTM["transform"] @ Affine.translation(0.5, 0)
    kinds = {
        "image": write_tiff(tmp_path / "image.tif", one, **UTM),
        "same": write_tiff(tmp_path / "same.tif", one, **UTM),
        "bare": write_tiff(tmp_path / "bare.tif", one),
        "zone": write_tiff(tmp_path / "zone.tif", one, **{**UTM, "crs": "EPSG:32634"}),
        "half": write_tiff(tmp_path / "half.tif", one, **{**UTM, "transform": half}),
        "small": write_tiff(tmp_path / "small.tif", one[1:], **UTM),
    }
    told = {}
    with Raster(kinds["image"]) as image:
        for name, path in kinds.items():
            with Raster(path) as labels:
                told[name] = grid_difference(labels, image)
    assert told["image"] is told["same"] is told["bare"] is None
    assert "EPSG:32634" in told["zone"] and "EPSG:32633" in told["zone"]
    assert "500001" in told["half"] and "(2, 0, 500000, 0, -2, 5000000)" in told["half"]
    assert "7 x 9" in told["small"] and "8 x 9" in told["small"]


def test_wrong_options_and_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="max_open must be >= 1, got 0"):
        WindowReader(max_open=0)
    with pytest.raises(ValueError, match="begins outside a raster of 4 x 4"):
        clip_window(Window(4, 0, 2, 2), 4, 4)
    whole = np.ones((2, 2))
    assert pad_to(whole, Window(0, 0, 2, 2)) is whole
