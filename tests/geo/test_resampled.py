"""Scenes at another pixel size: the grid, what is valid on it, and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.errors import DataError
from mmrs.geo.ground_sampling import ground_sampling
from mmrs.geo.raster import Raster
from mmrs.geo.resampled import BackToGrid, ResampledRaster, nearest_index
from mmrs.geo.windows import Window

UTM = Affine(0.5, 0, 5e5, 0, -0.5, 5.4e6)
ROTATED = Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)


def write(path: Path, pixels: np.ndarray, **options) -> Path:
    height, width, count = pixels.shape
    options = {"crs": "EPSG:32633", "transform": UTM, **options}
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=pixels.dtype,
        **options,
    ) as dataset:  # fmt: skip
        dataset.write(np.moveaxis(pixels, -1, 0))
    return path


def noise(height: int, width: int, count: int = 3, dtype: str = "uint16") -> np.ndarray:
    pixels = np.random.default_rng(0).integers(1, 60_000, (height, width, count))
    return (pixels // (256 if dtype == "uint8" else 1)).astype(dtype)


@pytest.mark.parametrize("transform", [UTM, ROTATED])
@pytest.mark.parametrize(("gsd", "shape"), [(1.0, (20, 16)), (0.25, (80, 64)), (0.3, (67, 53))])
def test_the_grid_covers_the_extent_with_pixels_of_the_size(
    tmp_path: Path, transform: Affine, gsd: float, shape: tuple[int, int]
) -> None:
    path = write(tmp_path / "a.tif", noise(40, 32), transform=transform)
    with Raster(path) as plain, ResampledRaster(path, gsd_m=(gsd, gsd)) as raster:
        assert (raster.height, raster.width) == shape
        assert raster.read().shape == (*shape, 3)
        place = raster.georeference
        for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
            mine = place.transform @ (corner[0] * raster.width, corner[1] * raster.height)
            theirs = plain.georeference.transform @ (corner[0] * 32, corner[1] * 40)
            assert mine == pytest.approx(theirs, abs=1e-6)
        found = ground_sampling(place.transform, place.crs, height=shape[0], width=shape[1])
        # whole pixels fit: at most half of one is distributed over them all
        assert found == pytest.approx((gsd, gsd), rel=0.5 / min(shape))


@pytest.mark.parametrize("transform", [UTM, ROTATED])
def test_larger_pixels_are_means_of_the_files(tmp_path: Path, transform: Affine) -> None:
    pixels = noise(40, 32)
    path = write(tmp_path / "a.tif", pixels, transform=transform)
    expected = pixels.reshape(10, 4, 8, 4, 3).mean(axis=(1, 3))
    with ResampledRaster(path, gsd_m=(2.0, 2.0)) as raster:
        np.testing.assert_allclose(raster.read(), expected, atol=0.51)
        # by windows as in one piece
        part = raster.read(Window(3, 2, 5, 4))
        np.testing.assert_array_equal(part, raster.read()[3:8, 2:6])


def test_the_same_size_changes_nothing(tmp_path: Path) -> None:
    pixels = noise(12, 10)
    with ResampledRaster(write(tmp_path / "a.tif", pixels), gsd_m=(0.5, 0.5)) as raster:
        np.testing.assert_array_equal(raster.read(), pixels)


def test_smaller_pixels_are_linear_between_the_files(tmp_path: Path) -> None:
    ramp = (100 * np.arange(16)[None, :, None] + np.zeros((8, 1, 1))).astype("float32")
    with ResampledRaster(write(tmp_path / "a.tif", ramp), gsd_m=(0.25, 0.25)) as raster:
        found = raster.read()[4, 2:-2, 0]
    # middles of half pixels: -25 and +25 about each of the file's
    np.testing.assert_allclose(found, 100 * (np.arange(2, 30) + 0.5) / 2 - 50, atol=0.01)


def test_sides_of_two_lengths_and_degrees(tmp_path: Path) -> None:
    wide = Affine(0.5, 0, 5e5, 0, -1.0, 5.4e6)
    path = write(tmp_path / "a.tif", noise(20, 40), transform=wide)
    with ResampledRaster(path, gsd_m=(1.0, 1.0)) as raster:
        assert (raster.height, raster.width) == (20, 20)
    degrees = Affine(1e-4, 0, 10.0, 0, -1e-4, 60.0)
    path = write(tmp_path / "b.tif", noise(20, 40), transform=degrees, crs="EPSG:4326")
    with ResampledRaster(path, gsd_m=(11.1412, 11.1412)) as raster:
        # a degree of longitude at 60 north is half one of latitude
        assert (raster.height, raster.width) == (20, 20)


@pytest.mark.parametrize("gsd", [0.2, 0.7, 1.5])
def test_a_new_pixel_is_valid_where_any_pixel_under_it_is(tmp_path: Path, gsd: float) -> None:
    pixels = noise(21, 17)
    gaps = np.random.default_rng(1).random((21, 17)) < 0.7
    pixels[gaps] = 0
    path = write(tmp_path / "a.tif", pixels, nodata=0)
    with ResampledRaster(path, gsd_m=(gsd, gsd)) as raster:
        found = raster.read_valid()
        height, width = raster.height, raster.width
        window = Window(height // 3, width // 4, height // 2, width // 2)
        np.testing.assert_array_equal(raster.read_valid(window), found[window.slices])
    for row in range(height):
        for col in range(width):
            rows = slice(row * 21 // height, -(-(row + 1) * 21 // height))
            cols = slice(col * 17 // width, -(-(col + 1) * 17 // width))
            assert found[row, col] == (~gaps[rows, cols]).any()


def test_pixels_without_data_take_no_part_in_means(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 1), 1000, np.uint16)
    pixels[::2] = 65535
    path = write(tmp_path / "a.tif", pixels, nodata=65535)
    with ResampledRaster(path, gsd_m=(1.0, 1.0)) as raster:
        assert (raster.read() == 1000).all()


def test_chosen_bands_keep_their_order(tmp_path: Path) -> None:
    pixels = noise(8, 8, 4)
    path = write(tmp_path / "a.tif", pixels, photometric="MINISBLACK")
    with ResampledRaster(path, gsd_m=(0.5, 0.5), bands=[4, 2]) as raster:
        np.testing.assert_array_equal(raster.read(), pixels[..., [3, 1]])


def test_a_picture_from_nowhere_cannot_be_resampled(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(noise(8, 8, 3, "uint8")).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: it has no CRS or no grid.*--resample"):
        ResampledRaster(tmp_path / "a.png", gsd_m=(1, 1))
    with pytest.raises(ValueError, match="gsd_m must be > 0"):
        ResampledRaster(write(tmp_path / "a.tif", noise(4, 4)), gsd_m=(1, 0))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 200), cells=st.integers(1, 200))
def test_the_nearest_cell_is_the_one_that_holds_the_middle(count: int, cells: int) -> None:
    found = nearest_index(count, cells)
    for index in {0, count // 3, count - 1}:
        middle = (index + 0.5) / count
        edges = np.abs(np.arange(cells + 1) / cells - middle)
        if edges.min() > 1e-9:
            assert found[index] == int(middle * cells)
        assert 0 <= found[index] < cells


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    cells=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    step=st.integers(1, 9),
)
def test_rows_come_back_as_from_the_whole_map(size, cells, step) -> None:
    labels = np.arange(cells[0] * cells[1]).reshape(cells)
    back = BackToGrid(*size, from_height=cells[0], from_width=cells[1])
    found = np.concatenate(
        [
            (piece := labels[row : row + step])[back.rows_within(len(piece))][:, back.col_of]
            for row in range(0, cells[0], step)
        ]
    )
    rows, cols = nearest_index(size[0], cells[0]), nearest_index(size[1], cells[1])
    np.testing.assert_array_equal(found, labels[rows][:, cols])


def test_counts_below_1_are_refused() -> None:
    with pytest.raises(ValueError, match="counts must be >= 1, got 0 and 3"):
        nearest_index(0, 3)


@pytest.mark.parametrize(("height", "cells"), [(17, 5), (5, 17), (9, 9), (1, 4), (4, 1)])
def test_the_way_back_can_be_entered_at_any_row(height: int, cells: int) -> None:
    whole = nearest_index(height, cells)
    for first in range(height + 1):
        back = BackToGrid(height, 3, from_height=cells, from_width=3, first_row=first)
        start = back.next_row
        found = np.concatenate([back.rows_within(1) + row for row in range(start, cells)] or [[]])
        np.testing.assert_array_equal(found, whole[first:])
