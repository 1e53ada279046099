"""A made-up piece of countryside with its land cover map: the demo's imagery.

Fields, forest, a river and lakes, barren ground, roads and villages are laid out from a seed at
0.3 m a pixel; ``demo_objects`` draws what stands on them.  Labels are LoveDA's: 0 nodata,
1 background, 2 building, 3 road, 4 water, 5 barren, 6 forest, 7 agricultural.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mmrs.apis.demo import demo_objects, demo_textures
from mmrs.apis.demo.demo_canvas import Canvas, Cover
from mmrs.apis.demo.demo_textures import Floats, smooth_noise

GSD_M = 0.3


@dataclass
class Scene:
    """A picture and its map.

    Attributes:
        image: (H, W, 3) uint8 RGB, black where there is no data.
        labels: (H, W) uint8, values of ``Cover``.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def make_scene(height: int, width: int, *, seed: int, nodata: bool = False) -> Scene:
    """Make one scene; the same arguments give the same pixels.

    Args:
        height: Rows, at least 64.
        width: Columns, at least 64.
        seed: Of everything in it.
        nodata: Whether a wedge in a corner holds no data, as at the end of a flight strip.

    Raises:
        ValueError: If a side is below 64 pixels: the layout needs room.
    """
    rng = np.random.default_rng(seed)
    canvas, empty = _lay_out(rng, height, width, nodata)
    return _take_picture(rng, canvas.colours, canvas.labels, empty)


def make_tiles(tile_px: int, *, seed: int, nodata: bool = False) -> list[Scene]:
    """Make an area of 2 x 2 tiles, each with a light of its own.

    Args:
        tile_px: Side of a tile, at least 32.
        seed: Of everything in it.
        nodata: As in ``make_scene``.
    """
    rng = np.random.default_rng(seed)
    canvas, empty = _lay_out(rng, 2 * tile_px, 2 * tile_px, nodata)
    quarters = [
        (slice(row, row + tile_px), slice(col, col + tile_px))
        for row in (0, tile_px)
        for col in (0, tile_px)
    ]
    return [
        _take_picture(rng, canvas.colours[part], canvas.labels[part], empty[part])
        for part in quarters
    ]


def _lay_out(
    rng: np.random.Generator, height: int, width: int, nodata: bool
) -> tuple[Canvas, NDArray[np.bool_]]:
    """The land under even light, and where there will be no data."""
    if min(height, width) < 64:
        raise ValueError(f"height and width must be >= 64, got {height} x {width}")
    azimuth = rng.uniform(-0.6, 0.6)
    canvas = Canvas(
        colours=demo_textures.meadow(rng, height, width),
        labels=np.full((height, width), Cover.BACKGROUND, dtype=np.uint8),
        # northern hemisphere, north up: the sun stands in the south, shadows fall to the north
        sun=(float(np.sin(azimuth)), float(np.cos(azimuth))),
    )
    _lay_parcels(rng, canvas)
    _lay_barren(rng, canvas)
    _plant_forest(rng, canvas)
    _fill_water(rng, canvas)
    demo_objects.build_roads_and_villages(rng, canvas)
    demo_objects.plant_trees(rng, canvas)
    empty = _wedge(rng, height, width) if nodata else np.zeros((height, width), dtype=bool)
    return canvas, empty


def _take_picture(
    rng: np.random.Generator,
    colours: Floats,
    labels: NDArray[np.uint8],
    empty: NDArray[np.bool_],
) -> Scene:
    image, labels = expose(rng, colours), labels.copy()
    image[empty] = 0
    labels[empty] = Cover.NODATA
    return Scene(image, labels)


def expose(rng: np.random.Generator, colours: Floats) -> NDArray[np.uint8]:
    """Take the picture: blur, light, haze, tint and sensor noise, drawn anew for each picture.

    Args:
        rng: Source of randomness.
        colours: (H, W, 3) RGB from 0 to 1.

    Returns:
        (H, W, 3) uint8, never 0, which the pictures keep for nodata.
    """
    height, width = colours.shape[:2]
    picture = cv2.GaussianBlur(colours, (0, 0), rng.uniform(0.55, 0.85))
    light = rng.uniform(0.72, 1.22) * (1 + rng.normal(0, 0.035, 3))
    uneven = 1 + 0.05 * smooth_noise(rng, height, width, max(height, width) / 1.5)
    haze = rng.uniform(0, 0.07)
    picture = np.clip(picture, 0.01, 1) ** rng.uniform(0.85, 1.2)
    picture = picture * light * uneven[..., None] * (1 - haze) + haze
    picture += rng.normal(0, 0.012, picture.shape)
    return np.clip(picture * 255, 1, 255).astype(np.uint8)


def _lay_parcels(rng: np.random.Generator, canvas: Canvas) -> None:
    """Farmland: crooked strips cut into parcels, each a crop, a meadow or fallow soil."""
    height, width = canvas.labels.shape
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    bend = 12 * smooth_noise(rng, height, width, 160)
    along = rows * np.sin(angle) + cols * np.cos(angle) + bend
    across = cols * np.sin(angle) - rows * np.cos(angle) + bend
    strip_width = rng.uniform(110, 170)
    strip = np.floor(across / strip_width).astype(np.int64)
    shifts = rng.uniform(0, 400, strip.max() - strip.min() + 1).astype(np.float32)
    lengths = rng.uniform(120, 300, len(shifts)).astype(np.float32)
    index = strip - strip.min()
    parcel = np.floor((along + shifts[index]) / lengths[index]).astype(np.int64)
    keys = (index * 10_000 + parcel - parcel.min()).astype(np.int64)
    names, ids = np.unique(keys, return_inverse=True)
    ids = ids.reshape(height, width)
    for parcel_id in range(len(names)):
        inside = ids == parcel_id
        top, left, bottom, right = _bounds(inside)
        area = inside[top:bottom, left:right]
        use = rng.random()
        if use < 0.66:
            texture = demo_textures.crop_rows(rng, *area.shape)
            cover = Cover.AGRICULTURAL
        elif use < 0.90:
            continue
        else:
            texture = demo_textures.bare_ground(rng, *area.shape)
            cover = Cover.BARREN
        canvas.colours[top:bottom, left:right][area] = texture[area]
        canvas.labels[top:bottom, left:right][area] = cover


def _lay_barren(rng: np.random.Generator, canvas: Canvas) -> None:
    height, width = canvas.labels.shape
    blob = smooth_noise(rng, height, width, 140, 3) > 1.55
    canvas.paint(blob, demo_textures.bare_ground(rng, height, width), Cover.BARREN)


def _plant_forest(rng: np.random.Generator, canvas: Canvas) -> None:
    height, width = canvas.labels.shape
    wood = smooth_noise(rng, height, width, 220, 4) > 0.85
    spacing = rng.uniform(9, 15)
    colours, distance = demo_textures.canopy(rng, height, width, canvas.sun, spacing)
    # whole crowns at the edge of the wood, so that it is ragged as woods are
    wood &= distance < 0.8 * spacing
    wood = cv2.morphologyEx(wood.astype(np.uint8), cv2.MORPH_CLOSE, _disc(6)) > 0
    canvas.cast_shadow(wood, length=rng.uniform(8, 14))
    canvas.paint(wood, colours, Cover.FOREST)


def _fill_water(rng: np.random.Generator, canvas: Canvas) -> None:
    """A winding river in most scenes, lakes in some, each with a bank of bare ground."""
    height, width = canvas.labels.shape
    wet = smooth_noise(rng, height, width, 180, 2) > 1.75
    if rng.random() < 0.75:
        mask = np.zeros((height, width), dtype=np.uint8)
        path = demo_objects.winding_path(rng, height, width, wiggle=rng.uniform(0.08, 0.22))
        radii = rng.uniform(11, 22) * (1 + 0.25 * np.sin(np.linspace(0, 12, len(path))))
        for (col, row), radius in zip(path, radii, strict=True):
            cv2.circle(mask, (round(col), round(row)), round(radius), 1, -1)
        wet |= mask > 0
    bank = cv2.dilate(wet.astype(np.uint8), _disc(rng.integers(2, 6))) > 0
    bank &= smooth_noise(rng, height, width, 40) > 0.2
    canvas.paint(bank, demo_textures.bare_ground(rng, height, width), Cover.BARREN)
    canvas.paint(wet, demo_textures.water(rng, height, width), Cover.WATER)


def _wedge(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """The part beyond a slanted line near one corner."""
    rows, cols = np.mgrid[:height, :width]
    depth_rows, depth_cols = rng.uniform(0.15, 0.45) * height, rng.uniform(0.15, 0.45) * width
    down = rows if rng.random() < 0.5 else height - 1 - rows
    side = cols if rng.random() < 0.5 else width - 1 - cols
    return np.asarray(down / depth_rows + side / depth_cols < 1)


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def _disc(radius: int) -> NDArray[np.uint8]:
    size = 2 * int(radius) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
