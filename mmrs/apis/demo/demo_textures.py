"""Surfaces of the demo's land cover, as seen from above: noise, crops, canopy, soil, water.

Everything is a pure function of a random generator, in RGB from 0 to 1 (H, W, 3) float32.
Colours overlap between the classes on purpose: what tells a field from a forest is its rows and
crowns, not its green.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Vector = tuple[float, float]  # (columns, rows), in pixels

# means of the colours; each surface draws one and shifts it
CROP_COLOURS = (
    (0.25, 0.36, 0.17),
    (0.36, 0.47, 0.21),
    (0.45, 0.50, 0.26),
    (0.66, 0.58, 0.36),
    (0.51, 0.41, 0.30),
    (0.36, 0.29, 0.22),
)
FOREST_COLOURS = ((0.19, 0.28, 0.14), (0.25, 0.35, 0.17), (0.31, 0.37, 0.19))
MEADOW_COLOURS = ((0.31, 0.41, 0.20), (0.41, 0.46, 0.26), (0.54, 0.51, 0.33))
BARREN_COLOURS = ((0.63, 0.54, 0.41), (0.51, 0.42, 0.31), (0.68, 0.63, 0.54), (0.52, 0.50, 0.47))
WATER_COLOURS = ((0.13, 0.20, 0.18), (0.19, 0.27, 0.16), (0.24, 0.32, 0.36), (0.26, 0.33, 0.27))
ROAD_COLOURS = ((0.36, 0.36, 0.37), (0.50, 0.49, 0.47), (0.28, 0.28, 0.30))
TRACK_COLOURS = ((0.58, 0.49, 0.38), (0.64, 0.60, 0.52))
ROOF_COLOURS = (
    (0.56, 0.30, 0.22),
    (0.49, 0.38, 0.29),
    (0.43, 0.43, 0.44),
    (0.69, 0.66, 0.62),
    (0.27, 0.28, 0.30),
    (0.31, 0.38, 0.30),
)
CAR_COLOURS = ((0.85, 0.85, 0.85), (0.60, 0.61, 0.63), (0.14, 0.14, 0.16), (0.55, 0.14, 0.13))


def pick_colour(
    rng: np.random.Generator, colours: Sequence[Sequence[float]], spread: float = 0.03
) -> Floats:
    """One of the colours, (3,), brightened or darkened and tinted a little."""
    colour = np.asarray(colours[rng.integers(len(colours))], dtype=np.float32)
    colour = colour * np.float32(rng.normal(1.0, 2 * spread))
    return np.clip(colour + rng.normal(0, spread / 2, 3), 0.02, 0.95).astype(np.float32)


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, scale: float, octaves: int = 1
) -> Floats:
    """Smooth random field, (H, W), mean about 0 and deviation about 1.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        scale: Size of its features, in pixels; each further octave halves size and strength.
        octaves: Number of layers.
    """
    field = np.zeros((height, width), dtype=np.float32)
    total = 0.0
    for octave in range(octaves):
        step = max(scale / 2**octave, 1.0)
        grid = rng.standard_normal((int(height / step) + 4, int(width / step) + 4))
        size = (round(grid.shape[1] * step), round(grid.shape[0] * step))
        # straight lines between the points show only where the points are far apart
        method = cv2.INTER_CUBIC if step >= 8 else cv2.INTER_LINEAR
        layer = cv2.resize(grid.astype(np.float32), size, interpolation=method)
        row, col = rng.integers(0, max(1, int(step)), 2)
        field += layer[row : row + height, col : col + width] / 2**octave
        total += 0.25**octave
    return field / np.float32(0.8 * np.sqrt(total))


def tint(colour: Floats, brightness: Floats) -> Floats:
    """Colour (3,) under a relative brightness (H, W), 0 = as it is -> (H, W, 3)."""
    return np.asarray(colour * (1 + brightness[..., None]), dtype=np.float32)


def crop_rows(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A field: sown rows in one direction, tramlines across the stand, mottled by the soil."""
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    bend = 3 * smooth_noise(rng, height, width, 120)
    across = rows * np.sin(angle) + cols * np.cos(angle) + bend
    period = rng.uniform(5.0, 10.0)
    stripes = np.sin(2 * np.pi * across / period) * rng.uniform(0.08, 0.17)
    tramlines = np.abs(across % rng.uniform(45, 80) - 20) < 1.6
    mottle = 0.05 * smooth_noise(rng, height, width, 60, 3)
    grain = 0.03 * rng.standard_normal((height, width), dtype=np.float32)
    brightness = stripes + mottle + grain - 0.12 * tramlines
    return tint(pick_colour(rng, CROP_COLOURS), brightness.astype(np.float32))


def canopy(
    rng: np.random.Generator, height: int, width: int, sun: Vector, spacing: float
) -> tuple[Floats, Floats]:
    """Tree crowns from above.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        sun: Unit vector (columns, rows) that points towards the sun.
        spacing: Mean distance of the crowns, in pixels.

    Returns:
        Colours (H, W, 3), and the distance to the nearest stem (H, W) in pixels.
    """
    stems = np.ones((height, width), dtype=np.uint8)
    count = int(height * width / spacing**2 * 1.3) + 1
    stems[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    distance = cv2.distanceTransform(stems, cv2.DIST_L2, 5)
    crown = np.sqrt(np.clip(1 - (distance / (0.75 * spacing)) ** 2, 0, 1)).astype(np.float32)
    crown += 0.15 * smooth_noise(rng, height, width, 3)
    # a slope that faces the sun is bright
    slope_cols = cv2.Sobel(crown, cv2.CV_32F, 1, 0, ksize=3)
    slope_rows = cv2.Sobel(crown, cv2.CV_32F, 0, 1, ksize=3)
    facing = -(slope_cols * sun[0] + slope_rows * sun[1])
    mottle = 0.10 * smooth_noise(rng, height, width, 50, 2)
    brightness = 0.28 * np.clip(facing, -1.5, 1.5) + 0.45 * (crown - 0.55) + mottle
    return tint(pick_colour(rng, FOREST_COLOURS), brightness.astype(np.float32)), distance


def meadow(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Grass: patches of two colours and a fine grain, without direction."""
    patches = smooth_noise(rng, height, width, 70, 4)
    share = np.clip(0.5 + 0.35 * patches, 0, 1)[..., None]
    first, second = (pick_colour(rng, MEADOW_COLOURS) for _ in range(2))
    grain = 1 + 0.05 * rng.standard_normal((height, width, 1), dtype=np.float32)
    return np.asarray((share * first + (1 - share) * second) * grain, dtype=np.float32)


def bare_ground(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Sand, gravel or soil: blotches of all sizes, stones, no rows."""
    blotches = 0.10 * smooth_noise(rng, height, width, 40, 4)
    stones = 0.10 * (rng.random((height, width), dtype=np.float32) > 0.985)
    grain = 0.05 * rng.standard_normal((height, width), dtype=np.float32)
    return tint(pick_colour(rng, BARREN_COLOURS), blotches + stones.astype(np.float32) + grain)


def water(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Water: smooth, slowly changing with its depth, faint ripples."""
    depth = 0.10 * smooth_noise(rng, height, width, 150, 2)
    ripples = 0.02 * smooth_noise(rng, height, width, 5)
    return tint(pick_colour(rng, WATER_COLOURS), depth + ripples)


def pavement(
    rng: np.random.Generator, height: int, width: int, colours: Sequence[Sequence[float]]
) -> Floats:
    """Asphalt, concrete or a dirt track: nearly even, with stains."""
    stains = 0.05 * smooth_noise(rng, height, width, 25, 3)
    grain = 0.03 * rng.standard_normal((height, width), dtype=np.float32)
    return tint(pick_colour(rng, colours), stains + grain)
