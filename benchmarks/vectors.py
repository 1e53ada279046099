"""Polygons of class maps beside rasterio's of the whole array; one run, interleaved.

    OMP_NUM_THREADS=1 python -m benchmarks.vectors [--side 4000] [--classes 7] [--repeats 3]

Maps: smooth, and the same with 2 % of the pixels replaced by noise. Ours takes rows 256 at a time;
the peer is ``rasterio.features.shapes`` with its results as Shapely polygons. Prints medians of CPU
seconds, the median over the rounds of the peer's time over ours, and what simpler borders and a
minimum area cost and leave.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import rasterio.features
import shapely
from scipy import ndimage

from mmrs.geo.polygons.row_strips import Rows
from mmrs.geo.polygons.sieve import Sieve
from mmrs.geo.polygons.simplify import STRIP_ROWS, kept_corners
from mmrs.geo.polygons.vectorize import PolygonStream


def make_map(side: int, classes: int, noise: float) -> np.ndarray:
    """Regions of about 100 px a side, and pixels of noise."""
    rng = np.random.default_rng(0)
    small = -(-side // 4)
    fields = [
        ndimage.gaussian_filter(rng.standard_normal((small, small), dtype=np.float32), 10)
        for _ in range(classes)
    ]
    labels = ndimage.zoom(np.stack(fields), (1, 4, 4), order=1).argmax(0)[:side, :side]
    labels = labels.astype(np.uint8)
    hit = rng.random(labels.shape) < noise
    labels[hit] = rng.integers(0, classes, int(hit.sum()))
    return labels


def streamed(labels: np.ndarray, *, tolerance_px: float = 0, minimum_px: int = 0) -> np.ndarray:
    """Polygons of a map that comes in strips."""
    stream = PolygonStream(labels.shape[1])
    strips = [Rows(labels[row : row + STRIP_ROWS]) for row in range(0, len(labels), STRIP_ROWS)]
    if minimum_px > 1:
        sieve = Sieve(labels.shape[1], minimum_px, strip_rows=STRIP_ROWS)
        sifted = [rows for strip in strips for rows in sieve.push(strip)]
        rest = sieve.finish()
        strips = sifted if rest is None else [*sifted, rest]
    found = []
    for rows, *_ in strips:
        kept = kept_corners(rows, tolerance_px)[:-1] if tolerance_px else None
        found.append(stream.push(rows, kept=kept).polygons)
    return np.concatenate([*found, stream.finish().polygons])


def peer(labels: np.ndarray) -> np.ndarray:
    """Polygons of a map in memory, by GDAL."""
    found = rasterio.features.shapes(labels, connectivity=4)
    return np.array([shapely.geometry.shape(polygon) for polygon, _ in found])


def timed(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """CPU seconds, and what came of them."""
    start = time.process_time()
    polygons = run()
    return time.process_time() - start, polygons


def compare(labels: np.ndarray, repeats: int) -> None:
    """Print a line for the peer, and one for each way to write fewer points."""
    rounds = [
        (timed(lambda: streamed(labels)), timed(lambda: peer(labels))) for _ in range(repeats)
    ]
    (_, ours), (_, theirs) = rounds[-1]
    if len(ours) != len(theirs):
        raise SystemExit(f"{len(ours)} polygons, but the peer has {len(theirs)}")
    own, other = ([r[i][0] for r in rounds] for i in (0, 1))
    ratio = statistics.median(b / a for a, b in zip(own, other, strict=True))
    points = int(shapely.get_num_coordinates(ours).sum())
    print(
        f"  {len(ours)} polygons, {points} points: ours {statistics.median(own):.2f} s, "
        f"rasterio {statistics.median(other):.2f} s, ratio {ratio:.1f}"
    )
    for options in ({"tolerance_px": 1.0}, {"tolerance_px": 1.0, "minimum_px": 40}):
        seconds, found = timed(lambda options=options: streamed(labels, **options))
        points = int(shapely.get_num_coordinates(found).sum())
        print(f"  {options}: {len(found)} polygons, {points} points, {seconds:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--classes", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    for name, noise in (("smooth", 0.0), ("2 % noise", 0.02)):
        print(f"{name}, {args.side} x {args.side}, {args.classes} classes")
        compare(make_map(args.side, args.classes, noise), args.repeats)


if __name__ == "__main__":
    main()
