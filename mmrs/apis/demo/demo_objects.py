"""What stands on the demo's land: roads, tracks, villages with houses and halls, single trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mmrs.apis.demo import demo_textures
from mmrs.apis.demo.demo_canvas import Canvas, Cover
from mmrs.apis.demo.demo_textures import Floats, smooth_noise

Path = NDArray[np.float64]  # (n, 2) points (column, row)


@dataclass(frozen=True)
class House:
    """A rectangular building.

    Attributes:
        centre: (column, row).
        length: Along the ridge, in pixels.
        depth: Across the ridge, in pixels.
        angle: Of the ridge against the columns, in radians.
        storeys: Its height in units of 7 pixels of shadow.
        is_flat: Whether the roof is flat, else gabled.
    """

    centre: tuple[float, float]
    length: float
    depth: float
    angle: float
    storeys: float
    is_flat: bool

    def corners(self, margin: float = 0.0) -> NDArray[np.float32]:
        """Its corners, (4, 2), grown by a margin in pixels."""
        size = (self.length + 2 * margin, self.depth + 2 * margin)
        return np.asarray(cv2.boxPoints((self.centre, size, np.degrees(self.angle))))


def winding_path(rng: np.random.Generator, height: int, width: int, *, wiggle: float) -> Path:
    """Points (columns, rows), about a pixel apart, from one border to the opposite one.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        wiggle: Sideways swing, as a share of the side.
    """
    t = np.linspace(-0.05, 1.05, height + width)
    start, end = rng.uniform(0.1, 0.9, 2)
    sideways = start + (end - start) * t
    for order in (1, 2, 3):
        turn = 2 * np.pi * order * rng.uniform(0.5, 1.2)
        sideways += wiggle * rng.normal() / order * np.sin(turn * t + rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.5:
        return np.stack([t * width, sideways * height], axis=1)
    return np.stack([sideways * width, t * height], axis=1)


def build_roads_and_villages(rng: np.random.Generator, canvas: Canvas) -> None:
    """Lay roads across the scene, streets off them, and houses along both."""
    height, width = canvas.labels.shape
    water = canvas.labels == Cover.WATER
    tracks = np.zeros((height, width), dtype=np.uint8)
    for _ in range(1 + rng.poisson((height + width) / 2000)):
        draw_path(tracks, winding_path(rng, height, width, wiggle=0.08), rng.uniform(6, 9))
    tracks[water] = 0
    roads = np.zeros((height, width), dtype=np.uint8)
    lanes: list[tuple[Path, float]] = []
    houses: list[House] = []
    for _ in range(1 + rng.poisson((height + width) / 1900)):
        main, main_width = winding_path(rng, height, width, wiggle=0.05), rng.uniform(14, 21)
        settled = smooth_noise(rng, 1, len(main), 350)[0] > -0.5
        lanes.append((main, main_width))
        houses += houses_along(rng, main, main_width, settled)
        for street, street_width in streets_off(rng, main, settled, water):
            lanes.append((street, street_width))
            houses += houses_along(rng, street, street_width, np.ones(len(street), dtype=bool))
    for path, thickness in lanes:
        draw_path(roads, path, thickness)
    kept = keep_apart(houses, cv2.dilate(roads | water.astype(np.uint8), np.ones((3, 3))))
    _lay_yards(rng, canvas, kept)
    for mask, colours in (
        (tracks, demo_textures.TRACK_COLOURS),
        (roads, demo_textures.ROAD_COLOURS),
    ):
        surface = demo_textures.pavement(rng, height, width, colours)
        canvas.paint(mask > 0, surface, Cover.ROAD)
    for path, thickness in lanes:
        _drive_cars(rng, canvas, path, thickness)
    _raise_houses(rng, canvas, kept)


def draw_path(mask: NDArray[np.uint8], path: Path, thickness: float) -> None:
    """Set a mask along a path."""
    points = np.round(path * 16).astype(np.int32)[None]
    cv2.polylines(mask, points, False, 1, round(thickness), cv2.LINE_8, 4)


def streets_off(
    rng: np.random.Generator, main: Path, settled: NDArray[np.bool_], water: NDArray[np.bool_]
) -> Iterator[tuple[Path, float]]:
    """Side streets of a road where people live, up to the water: (path, width in pixels)."""
    position = rng.uniform(20, 120)
    while position < len(main) - 3:
        index = int(position)
        if settled[index]:
            ahead = main[index + 2] - main[index]
            normal = np.array([-ahead[1], ahead[0]]) / max(float(np.hypot(*ahead)), 1e-6)
            reach = np.arange(0, rng.uniform(120, 260))
            street = main[index] + rng.choice([-1, 1]) * reach[:, None] * normal
            cols, rows = np.clip(np.round(street), 0, np.array(water.shape[::-1]) - 1).astype(int).T
            wet = np.flatnonzero(water[rows, cols])
            street = street[: wet[0] if len(wet) else None]
            if len(street) > 50:
                yield street, rng.uniform(9, 13)
        position += rng.uniform(100, 190)


def houses_along(
    rng: np.random.Generator, path: Path, road_width: float, settled: NDArray[np.bool_]
) -> list[House]:
    """Houses on both sides of a road, in line with it."""
    steps = np.hypot(*np.diff(path, axis=0).T)
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    houses = []
    for side in (-1, 1):
        position = rng.uniform(10, 40)
        while position < travelled[-1] - 10:
            index = min(int(np.searchsorted(travelled, position)), len(path) - 2)
            is_hall = rng.random() < 0.08
            low, high = (70, 120) if is_hall else (28, 52)
            length, depth = rng.uniform(low, high), rng.uniform(0.75 * low, 0.65 * high)
            if settled[index] and rng.random() < 0.95:
                ahead = path[index + 1] - path[index]
                angle = float(np.arctan2(ahead[1], ahead[0]))
                gap = road_width / 2 + depth / 2 + rng.uniform(5, 18)
                normal = np.array([-np.sin(angle), np.cos(angle)])
                centre = path[index] + side * gap * normal
                turned = not is_hall and rng.random() < 0.25
                houses.append(
                    House(
                        (float(centre[0]), float(centre[1])),
                        length,
                        min(depth, length),
                        angle + (np.pi / 2 if turned else 0) + rng.normal(0, 0.04),
                        storeys=rng.uniform(1, 2.6),
                        is_flat=is_hall or rng.random() < 0.25,
                    )
                )
            position += length + rng.uniform(6, 26)
    return houses


def keep_apart(houses: list[House], taken: NDArray[np.uint8]) -> list[House]:
    """Those houses that stand clear of each other and of the mask ``taken`` (H, W)."""
    height, width = taken.shape
    taken = taken.copy()
    kept = []
    for house in houses:
        left, top = np.floor(house.corners(6).min(axis=0)).astype(int)
        right, bottom = np.ceil(house.corners(6).max(axis=0)).astype(int) + 1
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            continue
        outline = np.zeros((bottom - top, right - left), dtype=np.uint8)
        corners = np.round(house.corners(3) - (left, top)).astype(np.int32)
        cv2.fillConvexPoly(outline, corners, 1)
        area = taken[top:bottom, left:right]
        if not (area & outline).any():
            area |= outline
            kept.append(house)
    return kept


def plant_trees(rng: np.random.Generator, canvas: Canvas) -> None:
    """Single trees and rows of them, on grass and beside fields."""
    height, width = canvas.labels.shape
    crowns = np.zeros((height, width), dtype=np.uint8)
    blocked = np.isin(canvas.labels, (Cover.WATER, Cover.ROAD, Cover.BUILDING, Cover.FOREST))
    blocked = cv2.dilate(blocked.astype(np.uint8), np.ones((9, 9))) > 0
    places = [
        (int(rng.integers(height)), int(rng.integers(width)))
        for _ in range(int(height * width / 7000))
    ]
    for _ in range(1 + int((height + width) / 700)):
        hedge = winding_path(rng, height, width, wiggle=0.04)
        start = int(rng.integers(0, len(hedge)))
        row_of_trees = hedge[start : start + int(rng.integers(80, 220)) : 14]
        places += [(int(row), int(col)) for col, row in row_of_trees + rng.normal(0, 2, 2)]
    for row, col in places:
        if 0 <= row < height and 0 <= col < width and not blocked[row, col]:
            cv2.circle(crowns, (col, row), int(rng.integers(5, 11)), 1, -1)
    mask = crowns > 0
    colours, _ = demo_textures.canopy(rng, height, width, canvas.sun, 10.0)
    canvas.cast_shadow(mask, length=rng.uniform(8, 13))
    canvas.paint(mask, colours, Cover.FOREST)


def _lay_yards(rng: np.random.Generator, canvas: Canvas, houses: list[House]) -> None:
    """Gardens and paved yards around the houses: background, whatever was there."""
    height, width = canvas.labels.shape
    gardens, paved = np.ones((2, height, width), dtype=np.uint8)
    for house in houses:
        ground = paved if house.is_flat and house.length > 60 else gardens
        cv2.fillConvexPoly(ground, np.round(house.corners()).astype(np.int32), 0)
    reach = rng.uniform(16, 26) + 6 * smooth_noise(rng, height, width, 50, 2)
    dry = canvas.labels != Cover.WATER
    near = cv2.distanceTransform(gardens, cv2.DIST_L2, 5) < reach
    canvas.paint(near & dry, demo_textures.meadow(rng, height, width), Cover.BACKGROUND)
    near = cv2.distanceTransform(paved, cv2.DIST_L2, 5) < 0.6 * reach
    concrete = demo_textures.pavement(rng, height, width, demo_textures.ROAD_COLOURS)
    canvas.paint(near & dry, concrete, Cover.BACKGROUND)


def _drive_cars(rng: np.random.Generator, canvas: Canvas, path: Path, road_width: float) -> None:
    """Cars on the right-hand lane of a road; the label stays road."""
    height, width = canvas.labels.shape
    for index in rng.integers(0, len(path) - 1, rng.poisson(len(path) / 130)):
        ahead = path[index + 1] - path[index]
        angle = np.arctan2(ahead[1], ahead[0])
        lane = rng.choice([-1, 1]) * road_width / 4 * np.array([-np.sin(angle), np.cos(angle)])
        colour = demo_textures.pick_colour(rng, demo_textures.CAR_COLOURS)
        box = (tuple(path[index] + lane), (13.0, 5.5), float(np.degrees(angle)))
        corners = np.round(cv2.boxPoints(box) * 16).astype(np.int32)
        if corners.min() >= 0 and (corners / 16 < (width, height)).all():
            cv2.fillConvexPoly(canvas.colours, corners, colour.tolist(), cv2.LINE_8, 4)


def _raise_houses(rng: np.random.Generator, canvas: Canvas, houses: list[House]) -> None:
    height, width = canvas.labels.shape
    shadow = np.zeros((height, width), dtype=np.uint8)
    for house in houses:
        corners = house.corners()
        away = np.asarray(canvas.sun) * -7 * house.storeys
        hull = cv2.convexHull(np.concatenate([corners, corners + away]).astype(np.float32))
        cv2.fillConvexPoly(shadow, np.round(hull).astype(np.int32), 1)
    canvas.shade(shadow > 0)
    for house in houses:
        _draw_roof(rng, canvas, house)


def _draw_roof(rng: np.random.Generator, canvas: Canvas, house: House) -> None:
    """A flat roof with its skylights, or a gabled one with a bright and a dark side."""
    height, width = canvas.labels.shape
    left, top = np.maximum(np.floor(house.corners(1).min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(
        np.ceil(house.corners(1).max(axis=0)).astype(int) + 1, (width, height)
    )
    if left >= right or top >= bottom:
        return
    rows, cols = np.mgrid[top:bottom, left:right].astype(np.float32)
    cols, rows = cols - house.centre[0], rows - house.centre[1]
    cos, sin = np.cos(house.angle), np.sin(house.angle)
    along, across = cols * cos + rows * sin, rows * cos - cols * sin
    inside = (np.abs(along) <= house.length / 2) & (np.abs(across) <= house.depth / 2)
    brightness: Floats = 0.03 * rng.standard_normal(along.shape, dtype=np.float32)
    if house.is_flat:
        rim = np.minimum(house.length / 2 - np.abs(along), house.depth / 2 - np.abs(across)) < 2
        skylights = (along % 17 < 4) & (across % 19 < 5) & (rng.random() < 0.6)
        brightness = brightness + 0.16 * rim - 0.25 * skylights
    else:
        facing = float(-sin * canvas.sun[0] + cos * canvas.sun[1])
        tiles = 0.04 * np.sin(2 * np.pi * along / 4)
        brightness = brightness + 0.24 * facing * np.sign(across) + tiles
    colour = demo_textures.pick_colour(rng, demo_textures.ROOF_COLOURS)
    roof = demo_textures.tint(colour, np.asarray(brightness, dtype=np.float32))
    area = (slice(top, bottom), slice(left, right))
    canvas.colours[area][inside] = roof[inside]
    canvas.labels[area][inside] = Cover.BUILDING
