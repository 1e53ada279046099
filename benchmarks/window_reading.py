"""Random 512 px windows of a large RGB raster, against PNG tiles cut beforehand, in one run.

    OMP_NUM_THREADS=1 python benchmarks/window_reading.py [--side 6000] [--windows 60]

The raster is generated (smooth ground, noise, edges) and written with each layout; windows are read
by `mmrs.geo.window_reader.WindowReader`, as `mmrs.RasterSegDataset` does, with their validity.
Layouts take turns, window by window. CPU time of this process; ratio = PNG / layout, so more than 1
is faster than tiles.

Measured (rasterio 1.4.4, GDAL's wheels, two busy cores, --windows 40, one run; an earlier one of
the same code gave 1.40 for ZSTD and 2.43 for uncompressed tiles):

    layout                             CPU ms   ratio  bytes/px
    PNG tiles                            5.15    1.00      1.79
    tiled 256, ZSTD, predictor 2         4.04    1.28      1.83
    tiled 256, deflate                   6.65    0.78      2.47
    tiled 256, uncompressed              2.05    2.51      3.15
    strips, deflate                     28.58    0.18      2.79
    strips, uncompressed                 5.66    0.91      3.00
    unpacked once, first touch           0.53    9.68      3.00
    unpacked once, touched before        0.13   39.46      3.00
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine

from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window

WINDOW_PX = 512
TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}
LAYOUTS = {
    "tiled 256, ZSTD, predictor 2": {**TILED, "compress": "zstd", "predictor": 2},
    "tiled 256, deflate": {**TILED, "compress": "deflate"},
    "tiled 256, uncompressed": TILED,
    "strips, deflate": {"compress": "deflate"},
    "strips, uncompressed": {},
}


UNPACKED = "unpacked once, first touch"
WARM = "unpacked once, touched before"


def make_scene(side: int, seed: int = 0) -> np.ndarray:
    """(side, side, 3) uint8: fields of a colour each, light that changes slowly, noise."""
    rng = np.random.default_rng(seed)
    cells = side // 60
    fields = rng.integers(40, 200, (cells, cells, 3)).astype(np.uint8)
    scene = cv2.resize(fields, (side, side), interpolation=cv2.INTER_NEAREST)
    light = cv2.resize(rng.normal(0, 12, (9, 9)), (side, side), interpolation=cv2.INTER_CUBIC)
    out = np.empty_like(scene)
    for row in range(0, side, 500):
        part = slice(row, row + 500)
        noise = rng.normal(0, 4, scene[part].shape).astype(np.float32)
        lit = light[part, :, None].astype(np.float32)
        out[part] = np.clip(scene[part] + lit + noise, 0, 255)
    return out


def write_layouts(scene: np.ndarray, folder: Path) -> dict[str, Path]:
    """The scene as GeoTIFF, once for each layout."""
    paths = {}
    for index, (name, options) in enumerate(LAYOUTS.items()):
        paths[name] = folder / f"{index}.tif"
        with rasterio.open(
            paths[name],
            "w",
            driver="GTiff",
            height=scene.shape[0],
            width=scene.shape[1],
            count=3,
            dtype="uint8",
            photometric="RGB",
            interleave="pixel",
            crs="EPSG:32633",
            transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
            **options,
        ) as dataset:
            dataset.write(np.moveaxis(scene, -1, 0))
    return paths


def write_tiles(scene: np.ndarray, folder: Path, count: int) -> list[Path]:
    """PNG tiles as a tiling step leaves them."""
    per_line = scene.shape[1] // WINDOW_PX
    paths = []
    for index in range(min(count, per_line**2)):
        row, col = (WINDOW_PX * place for place in divmod(index, per_line))
        paths.append(folder / f"{index}.png")
        tile = scene[row : row + WINDOW_PX, col : col + WINDOW_PX, ::-1]
        cv2.imwrite(str(paths[-1]), tile)
    return paths


def measure(
    paths: dict[str, Path], tiles: list[Path], side: int, windows: int, folder: Path
) -> dict[str, float]:
    """Median CPU ms a window of each layout, and of PNG tiles."""
    reader = WindowReader()
    mapped = {name: WindowReader(cache_dir=folder / "cache") for name in (UNPACKED, WARM)}
    source = paths["tiled 256, deflate"]
    for row in range(0, side - WINDOW_PX + 1, WINDOW_PX // 2):
        # a worker has been everywhere after an epoch or two
        mapped[WARM].read(source, Window(row, 0, WINDOW_PX, side))
    rng = np.random.default_rng(1)
    spent: dict[str, list[float]] = {"PNG tiles": [], **{name: [] for name in paths}}
    spent.update({name: [] for name in mapped})
    for turn in range(windows + 2):
        row, col = (int(v) for v in rng.integers(0, side - WINDOW_PX + 1, 2))
        for name in spent:
            start = time.process_time()
            if name == "PNG tiles":
                cv2.imread(str(tiles[turn % len(tiles)]), cv2.IMREAD_COLOR)
            elif name in mapped:
                mapped[name].read(source, Window(row, col, WINDOW_PX, WINDOW_PX))
            else:
                reader.read(paths[name], Window(row, col, WINDOW_PX, WINDOW_PX))
            if turn >= 2:  # the first open the files
                spent[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(times)) for name, times in spent.items()}


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=6000, help="of the raster, in pixels")
    parser.add_argument("--windows", type=int, default=60, help="read of each layout")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = make_scene(args.side)
        paths = write_layouts(scene, folder)
        tiles = write_tiles(scene, folder, args.windows)
        per_px = sum(path.stat().st_size for path in tiles) / (len(tiles) * WINDOW_PX**2)
        del scene
        found = measure(paths, tiles, args.side, args.windows, folder)
        print(f"{'layout':32} {'CPU ms':>8} {'ratio':>7} {'bytes/px':>9}")
        for layout, ms in found.items():
            size = {"PNG tiles": per_px, UNPACKED: 3.0, WARM: 3.0}.get(layout)
            if size is None:
                size = paths[layout].stat().st_size / args.side**2
            print(f"{layout:32} {ms:8.2f} {found['PNG tiles'] / ms:7.2f} {size:9.2f}")


if __name__ == "__main__":
    main()
