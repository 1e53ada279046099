from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from mmrs.errors import DataError
from mmrs.geo.array_raster import ArrayRaster, DatasetRaster, file_of_dataset
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window

GRID = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2.0, -2.0)
WINDOWS = [None, Window(0, 0, 5, 7), Window(11, 3, 2, 9), Window(8, 6, 9, 9)]  # the last sticks out
# dtype, nodata, a value that stands for gaps
KINDS = [
    ("uint8", 0, 0),
    ("uint8", None, 7),
    ("uint16", 65535, 65535),
    ("int16", -9999, -9999),
    ("float32", None, np.nan),
    ("float32", np.nan, np.nan),
    ("float32", -3.4e38, -3.4e38),
    ("float64", 0.1, 0.1),
]


def make_pixels(dtype: str, gap: float, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 200, (13, 15, 3)).astype(dtype)
    pixels[2:6, 4:9] = gap
    pixels[9, 10, 1] = gap  # in one band alone
    return pixels


def write(pixels: np.ndarray, target, nodata: float | None, **options) -> None:
    height, width, count = pixels.shape
    with rasterio.open(
        target, "w", driver="GTiff", height=height, width=width, count=count, dtype=pixels.dtype,
        nodata=nodata, crs="EPSG:32633", transform=GRID, **options,
    ) as dataset:  # fmt: skip
        dataset.write(np.moveaxis(pixels, -1, 0))


def check_same(found: Raster, expected: Raster) -> None:
    for name in ("height", "width", "count", "dtype", "has_invalid", "bands", "gsd_m"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.georeference == expected.georeference
    np.testing.assert_equal(found.nodata, expected.nodata)  # NaN is NaN
    for window in WINDOWS:
        np.testing.assert_array_equal(found.read(window), expected.read(window))
        inside = window is None or window.row + window.height <= 13
        if inside:
            np.testing.assert_array_equal(found.read_valid(window), expected.read_valid(window))
            for ours, theirs in zip(
                found.read_with_valid(window), expected.read_with_valid(window), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("bands", [None, [3, 1], [2]])
@pytest.mark.parametrize(("dtype", "nodata", "gap"), KINDS)
def test_array_and_dataset_read_as_the_file_does(
    tmp_path: Path, dtype: str, nodata: float | None, gap: float, bands
) -> None:
    pixels = make_pixels(dtype, gap)
    write(pixels, tmp_path / "scene.tif", nodata)
    content = (tmp_path / "scene.tif").read_bytes()
    with Raster(tmp_path / "scene.tif", bands=bands) as expected:
        array = ArrayRaster(pixels, transform=GRID, crs="EPSG:32633", nodata=nodata, bands=bands)
        check_same(array, expected)
        with MemoryFile(content) as memory, memory.open() as dataset:
            check_same(DatasetRaster(dataset, bands=bands), expected)
            check_same(DatasetRaster(dataset).reopen(bands), expected)
        check_same(ArrayRaster(pixels, transform=GRID, crs=32633, nodata=nodata).reopen(bands),
                   expected)  # fmt: skip


def test_a_view_of_a_dataset_is_read_through_the_view(tmp_path: Path) -> None:
    pixels = make_pixels("uint16", 0)
    write(pixels, tmp_path / "scene.tif", 0)
    with rasterio.open(tmp_path / "scene.tif") as dataset:
        grid = Affine(2.0, 0, 500_000 - 20, 0, -2.0, 5_000_000 + 20)
        with WarpedVRT(
            dataset, crs="EPSG:32633", transform=grid, width=30, height=20,
            resampling=Resampling.nearest,
        ) as view:  # fmt: skip
            raster = DatasetRaster(view)
            np.testing.assert_array_equal(raster.read(), np.moveaxis(view.read(), 0, -1))
            np.testing.assert_array_equal(raster.read_valid(), view.dataset_mask() > 0)
            assert raster.georeference.transform == grid
            assert 0 < raster.read_valid().sum() < 600


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: np.asfortranarray(pixels),
        lambda pixels: pixels.astype(pixels.dtype.newbyteorder()),
        lambda pixels: np.moveaxis(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), 0, -1),
        lambda pixels: np.repeat(pixels, 2, axis=1)[:, ::2],
    ],
)
def test_layout_and_byte_order_of_the_array_do_not_matter(change) -> None:
    pixels = make_pixels("uint16", 0)
    read = ArrayRaster(change(pixels)).read(Window(1, 2, 7, 9))
    np.testing.assert_array_equal(read, pixels[1:8, 2:11])
    assert read.dtype == np.dtype("uint16")
    assert read.dtype.isnative


def test_what_is_read_is_the_readers_own() -> None:
    pixels = make_pixels("uint8", 0)
    before = pixels.copy()
    raster = ArrayRaster(pixels)
    for window in WINDOWS:
        raster.read(window)[...] = 9
    raster.reopen([1]).read()[...] = 9
    np.testing.assert_array_equal(pixels, before)


def test_one_band_may_come_without_its_axis() -> None:
    raster = ArrayRaster(np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert (raster.height, raster.width, raster.count) == (3, 4, 1)


def test_valid_mask_and_nodata_both_count() -> None:
    pixels = np.ones((2, 3, 2), dtype=np.uint8)
    pixels[0, 0] = 0  # nodata
    pixels[0, 1, 0] = 0  # a dark band
    valid = np.array([[True, True, False], [True, True, True]])
    expected = [[False, True, False], [True, True, True]]
    raster = ArrayRaster(pixels, nodata=0, valid=valid)
    np.testing.assert_array_equal(raster.read_valid(), expected)
    np.testing.assert_array_equal(raster.read_with_valid()[1], expected)


def test_a_masked_array_brings_its_mask() -> None:
    pixels = np.ma.masked_equal(np.array([[[0, 0], [0, 5]], [[4, 5], [6, 7]]], np.uint8), 0)
    np.testing.assert_array_equal(ArrayRaster(pixels).read_valid(), [[False, True], [True, True]])


@pytest.mark.parametrize(
    ("pixels", "options", "told"),
    [
        (np.zeros(4, np.uint8), {}, r"array: its shape is \(4,\)\. Fix: give \(H, W, bands\)"),
        (np.zeros((0, 4, 3), np.uint8), {}, r"its shape is \(0, 4, 3\)"),
        (np.zeros((2, 2, 3), bool), {}, "it holds bool, not numbers"),
        (np.zeros((2, 2, 3), complex), {}, "it holds complex128"),
        (np.zeros((2, 2, 3)), {"valid": np.ones((2, 3), bool)}, r"valid must be bool of shape"),
        (np.zeros((2, 2, 3)), {"valid": np.ones((2, 2), int)}, r"valid must be bool .* int64"),
        (np.zeros((2, 2, 3)), {"crs": "EPSG:0"}, r"crs: 'EPSG:0' is no CRS that is known"),
        (np.zeros((2, 2, 3)), {"transform": "north"}, r"transform: 'north' is no transform"),
        (np.zeros((2, 2, 3)), {"bands": [4]}, r"it has 3 bands of float64, but bands \[4\]"),
        (np.zeros((2, 2, 3)), {"band_names": ["red"]}, "1 band names for 3 bands"),
    ],
)
def test_what_is_no_scene_is_refused(pixels: np.ndarray, options: dict, told: str) -> None:
    with pytest.raises(DataError, match=told):
        ArrayRaster(pixels, **options)


def test_closing_leaves_the_callers_dataset_open(tmp_path: Path) -> None:
    write(make_pixels("uint8", 0), tmp_path / "scene.tif", 0)
    with rasterio.open(tmp_path / "scene.tif") as dataset:
        with DatasetRaster(dataset) as raster:
            raster.reopen([1]).close()
        assert not dataset.closed
    with pytest.raises(DataError, match=r"scene\.tif: the dataset is closed\. Fix: open it"):
        DatasetRaster(dataset)


def test_threads_take_turns_at_a_dataset(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    write(pixels, tmp_path / "scene.tif", None, compress="deflate", tiled=True, blockxsize=16,
          blockysize=16)  # fmt: skip
    wrong: list[int] = []

    def look(seed: int) -> None:
        rng = np.random.default_rng(seed)
        mine = raster.reopen()
        for _ in range(60):
            row, col = (int(value) for value in rng.integers(0, 80, 2))
            found = mine.read(Window(row, col, 16, 16))
            if not np.array_equal(found, pixels[row : row + 16, col : col + 16]):
                wrong.append(seed)

    with rasterio.open(tmp_path / "scene.tif") as dataset:
        raster = DatasetRaster(dataset)
        threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_the_fingerprint_sees_every_change() -> None:
    pixels = make_pixels("uint8", 0)
    other = pixels.copy()
    other[12, 14, 2] += 1
    valid = np.ones((13, 15), bool)
    hole = valid.copy()
    hole[12, 14] = False
    rasters = [
        ArrayRaster(pixels),
        ArrayRaster(other),
        ArrayRaster(pixels, nodata=0),
        ArrayRaster(pixels, valid=valid),
        ArrayRaster(pixels, valid=hole),
        ArrayRaster(pixels.astype("uint16")),
    ]
    prints = [str(raster.fingerprint()) for raster in rasters]
    assert len(set(prints)) == len(rasters)
    assert ArrayRaster(pixels.copy()).fingerprint() == rasters[0].fingerprint()


def test_previews_are_the_files(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    write(pixels, tmp_path / "scene.tif", None)
    with Raster(tmp_path / "scene.tif") as file:
        array = ArrayRaster(pixels)
        smooth = array.read_preview(15).astype(int), file.read_preview(15).astype(int)
        assert smooth[0].shape == (10, 15, 3)
        assert np.abs(smooth[0] - smooth[1]).max() <= 1  # means that end in .5
        nearest = array.read_preview(15, smooth=False)
        np.testing.assert_array_equal(nearest, file.read_preview(15, smooth=False))


def test_a_dataset_that_is_just_its_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    pixels = make_pixels("uint8", 0)
    write(np.kron(pixels, np.ones((4, 4, 1), np.uint8)), path, 0)
    with rasterio.open(path, "r+") as dataset:
        assert file_of_dataset(dataset) is None  # not all may be written
        dataset.build_overviews([2])
    with rasterio.open(path) as dataset:
        assert file_of_dataset(dataset) == path
        with WarpedVRT(dataset) as view:
            assert file_of_dataset(view) is None
    with rasterio.open(path, overview_level=0) as dataset:
        assert file_of_dataset(dataset) is None
    with MemoryFile(path.read_bytes()) as memory, memory.open() as dataset:
        assert file_of_dataset(dataset) is None
