"""Class maps for tests: noise, blobs and shapes that hang together late; and slow references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import rasterio.features
import shapely
from hypothesis import strategies as st
from scipy import ndimage

NODATA = 255


def noise(height: int, width: int, classes: int, seed: int) -> np.ndarray:
    ids = np.array([*range(classes), NODATA], dtype=np.uint8)
    return np.random.default_rng(seed).choice(ids, (height, width))


def blobs(height: int, width: int, classes: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = rng.standard_normal((classes + 1, height, width))
    fields = np.stack([ndimage.gaussian_filter(f, rng.uniform(0.5, 3)) for f in fields])
    labels = fields.argmax(0).astype(np.uint8)
    labels[labels == classes] = NODATA
    return labels


def spiral(size: int) -> np.ndarray:
    """One region that winds inwards, one that winds between its turns."""
    labels = np.ones((size, size), dtype=np.uint8)
    row, col, down, right, free = 0, 0, 0, 1, size
    labels[0, 0] = 0
    for turn in range(2 * size):
        for _ in range(free - 1):
            row, col = row + down, col + right
            labels[row, col] = 0
        down, right = right, -down
        if turn > 0 and turn % 2 == 0:
            free -= 2
        if free < 3:
            return labels
    return labels


def comb(height: int, width: int) -> np.ndarray:
    """Teeth that are joined only by the last row."""
    labels = np.zeros((height, width), dtype=np.uint8)
    labels[:-1, 1::2] = 1
    return labels


@st.composite
def label_maps(draw: st.DrawFn, max_side: int = 20) -> np.ndarray:
    height, width = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    make = draw(st.sampled_from([noise, blobs]))
    return make(height, width, draw(st.integers(1, 4)), draw(st.integers(0, 2**20)))


def pieces(labels: np.ndarray, heights: Sequence[int]) -> Iterator[np.ndarray]:
    """Rows in pieces of these heights, over and over."""
    row = turn = 0
    while row < len(labels):
        height = heights[turn % len(heights)]
        yield labels[row : row + height]
        row, turn = row + height, turn + 1


def burn(polygons: Sequence, ids: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Polygons in pixel coordinates, by rasterio."""
    burnt = np.full(shape, NODATA, dtype=np.uint8)
    if len(polygons):
        rasterio.features.rasterize(zip(polygons, map(int, ids), strict=True), out=burnt)
    return burnt


def gdal_polygons(labels: np.ndarray) -> set[tuple[int, bytes]]:
    """(class, polygon) of every region of a whole map, by GDAL."""
    found = rasterio.features.shapes(labels, mask=labels != NODATA, connectivity=4)
    return {(int(label), normal(shapely.geometry.shape(shape))) for shape, label in found}


def normal(polygon: shapely.Polygon) -> bytes:
    """One form for all ways to write a polygon: where rings begin, points on straight lines."""
    return shapely.to_wkb(shapely.normalize(shapely.simplify(polygon, 0)))


def regions(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Regions numbered from 1, 0 is nodata; and how many."""
    numbers, count = np.zeros(labels.shape, dtype=np.int64), 0
    for label in set(np.unique(labels)) - {NODATA}:
        own, more = ndimage.label(labels == label)
        numbers[own > 0] = own[own > 0] + count
        count += more
    return numbers, count
