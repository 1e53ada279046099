"""Rasters, labels and options drawn at random: every window against the whole arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.warp import transform as transform_points

from mmrs.datasets import RasterSegDataset
from mmrs.geo.raster import to_coordinates
from tests.fake_data import write_polygons
from tests.geo.test_raster import write_tiff

CRS = "EPSG:32633"
CLASSES = ("field", "water", "road")
LABELS = ("on the grid", "shifted", "polygons", "polygons in degrees")
SEEDS = range(300 if os.environ.get("MMRS_LONG_TESTS") else 8)


def make_grid(rng: np.random.Generator) -> Affine:
    """North up, south up, mirrored, rotated."""
    turn = Affine.rotation(float(rng.choice([0, 0, rng.uniform(0, 360)])))
    size = Affine.scale(*(rng.choice([0.3, 1, 10]) * rng.choice([1, -1], 2)))
    return Affine.translation(500_000.3, 5_000_000.7) @ turn @ size


def make_image(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, Any]:
    """Pixels (h, w, bands) with gaps, and their nodata value or None."""
    dtype = rng.choice(["uint8", "uint16", "int16", "float32"])
    pixels = rng.integers(0, 200, (*shape, rng.integers(1, 5))).astype(dtype)
    nodata = rng.choice([None, 0, 7])
    if nodata is not None:
        pixels[rng.random(shape) < 0.2] = nodata
        nodata = float(nodata)
    if dtype == "float32":
        pixels[rng.random(shape) < 0.05, 0] = np.nan
    return pixels, nodata


def valid_pixels(pixels: np.ndarray, chosen: np.ndarray, nodata: float | None) -> np.ndarray:
    valid = np.ones(pixels.shape[:2], bool) if nodata is None else (pixels != nodata).any(axis=-1)
    return valid & np.isfinite(chosen).all(axis=-1)


def draw_shapes(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[list, list, np.ndarray]:
    """Rings and pairs of disks in pixels, their classes, and the ids that they give; -1 none."""
    cols, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    shapes, ids, burnt = [], [], np.full(shape, -1)
    for _ in range(rng.integers(1, 7)):
        centre, radius = rng.uniform(0, 1, 2) * shape[::-1], rng.uniform(2, 12)
        disk = shapely.Point(centre).buffer(radius)
        parts = [disk.difference(shapely.Point(centre).buffer(rng.uniform(0, radius - 1)))]
        if rng.random() < 0.3:  # they may overlap
            parts.append(shapely.Point(centre + 3).buffer(2))
        shapes.append(shapely.MultiPolygon(parts))
        ids.append(int(rng.integers(0, 3)))
        for part in parts:
            burnt[shapely.contains_xy(part, cols, rows)] = ids[-1]
    return shapes, ids, burnt


def to_map(shape: Any, grid: Affine, crs: str = CRS) -> Any:
    def move(points: np.ndarray) -> np.ndarray:
        xs, ys = to_coordinates(grid, points[:, 0], points[:, 1])
        if crs != CRS:
            xs, ys = transform_points(CRS, crs, xs, ys)
        return np.column_stack([xs, ys])

    return shapely.transform(shape, move)


def make_labels(
    rng: np.random.Generator, kind: str, folder: Path, shape: tuple[int, int], grid: Affine
) -> tuple[dict[str, Any], np.ndarray]:
    """Options of the data set, and what its labels should be before gaps and areas."""
    if kind.startswith("polygons"):
        shapes, ids, expected = draw_shapes(rng, shape)
        background = int(rng.choice([0, 255]))
        crs = "EPSG:4326" if "degrees" in kind else CRS
        shapes = [to_map(each, grid, crs) for each in shapes]
        path = write_polygons(folder / "l.gpkg", shapes, {"k": [f"n{i}" for i in ids]}, crs)
        class_of = {f"n{i}": i for i in range(3)}
        options = {"attribute": "k", "class_of": class_of, "background": background}
        return {"labels": str(path), **options}, np.where(expected < 0, background, expected)
    stored = rng.integers(0, 3, shape)
    expected, nodata = stored.copy(), rng.choice([None, 9, 255])
    if nodata is not None:
        gaps = rng.random(shape) < 0.2
        stored[gaps], expected[gaps] = nodata, 255
    row, col = rng.integers(-4, 5, 2) if kind == "shifted" else (0, 0)
    place = {"crs": CRS, "transform": grid @ Affine.translation(int(col), int(row))}
    dtype = rng.choice(["uint8", "int16", "uint16", "int32", "float32"])
    path = write_tiff(
        folder / "l.tif",
        stored[..., None].astype(dtype),
        nodata=None if nodata is None else float(nodata),
        **place,
    )
    moved = np.full(shape, 255)
    to_rows, from_rows = _shared(shape[0], int(row))
    to_cols, from_cols = _shared(shape[1], int(col))
    moved[to_rows, to_cols] = expected[from_rows, from_cols]
    return {"labels": str(path), "align_labels": kind == "shifted"}, moved


def _shared(length: int, shift: int) -> tuple[slice, slice]:
    first, last = max(0, shift), min(length, length + shift)
    return slice(first, last), slice(first - shift, last - shift)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_window_is_its_part_of_the_whole(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 60)), int(rng.integers(8, 60)))
    grid = make_grid(rng)
    pixels, nodata = make_image(rng, shape)
    write_tiff(tmp_path / "i.tif", pixels, crs=CRS, transform=grid, nodata=nodata)
    options, labels = make_labels(rng, LABELS[seed % len(LABELS)], tmp_path, shape, grid)
    chosen, bands = pixels, None
    if rng.random() < 0.5:
        bands = [int(b) + 1 for b in rng.permutation(pixels.shape[2])[: rng.integers(1, 5)]]
        chosen = pixels[..., [band - 1 for band in bands]]
    valid = valid_pixels(pixels, chosen, nodata)
    labels[~valid] = 255
    if rng.random() < 0.5:
        area = (rng.uniform(0, 0.4, 2) * shape[::-1], rng.uniform(0.6, 1, 2) * shape[::-1])
        box = to_map(shapely.box(*area[0], *area[1]), grid)
        write_polygons(tmp_path / "area.gpkg", [box], {}, CRS)
        options["area"] = str(tmp_path / "area.gpkg")
        cols, rows = np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5
        inside = (area[0][0] < cols) & (cols < area[1][0])
        labels[~(inside & ((area[0][1] < rows) & (rows < area[1][1]))[:, None])] = 255
    size = [int(side) for side in rng.integers(4, 40, 2)]
    once = bool(rng.random() < 0.5)
    dataset = RasterSegDataset(
        images=str(tmp_path / "i.tif"),
        bands=bands,
        metainfo={"classes": CLASSES},
        window_sampler={
            "type": "grid",
            "size": size,
            "stride": [int(rng.integers(1 + side // 4, side + 1)) for side in size],
            "count_once": once,
        },
        cache_dir=str(tmp_path / "cache"),
        unpack=bool(rng.random() < 0.3),
        **options,
    )
    image = np.where(valid[..., None], chosen, 0)
    times = np.zeros(shape, int)
    for index in range(len(dataset)):
        sample = dataset.load_sample(index)
        row, col, height, width = sample["window"]
        part = slice(row, row + height), slice(col, col + width)
        expected, given = labels[part], sample["gt_seg_map"]
        inside = tuple(slice(0, side) for side in expected.shape)
        np.testing.assert_array_equal(sample["img"][inside], image[part])
        assert given.shape == (height, width) == sample["img"].shape[:2]
        assert sample["img"].sum() == sample["img"][inside].sum()
        assert (given != 255).sum() == (given[inside] != 255).sum()
        counted = given[inside] != 255
        np.testing.assert_array_equal(given[inside][counted], expected[counted])
        assert once or (counted == (expected != 255)).all()
        times[part] += counted
    assert ((times > 0) == (labels != 255)).all()
    assert not once or times.max(initial=0) <= 1
