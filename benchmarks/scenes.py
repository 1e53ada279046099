"""Predicting whole scenes: what it takes beside the network, against MMSegmentation's two ways.

    OMP_NUM_THREADS=1 python -m benchmarks.scenes [--side 2048] [--repeats 3] [--models conv1x1 ...]
    OMP_NUM_THREADS=1 python -m benchmarks.scenes --memory [--rows 2000 50000] [--width 1024]

One generated scene (tiled, deflate), one grid of windows (512 px at a stride of 256), 7 classes:

- ``mmrs``: ``predict_scene``: smooth blend of probabilities, batches of 4, a compressed GeoTIFF
  with overviews, checksummed and published in one step;
- ``slide``: MMSegmentation's ``slide`` mode through ``inference_model``, labels then written;
- ``inferencer``: MMSegmentation's ``RSInferencer``: one window at a time, the last one stays.

Each way runs in a process of its own for each model, and they take turns.  Overhead is what a way
takes beyond the network alone: its time less the time of one window inside ``encode_decode`` (of
the same run) times the fewest windows that cover the scene.  Time is CPU time of the process (of
all its threads) and wall time; ``main`` is CPU time of the thread that the network runs on.
Figures are in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from benchmarks.window_reading import make_scene
from mmrs.geo.windows import plan_windows

WAYS = ("mmrs", "inferencer", "slide")
MODELS = ("conv1x1", "conv3x3", "hiresnet")
WINDOW, STRIDE = 512, 256


class Way:
    """A process that predicts scenes in one way with one model."""

    def __init__(self, way: str, model: str, *, keep_memory: bool) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scene_ways", way, model]
        command += ["--keep-memory"] * keep_memory
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.base_rss = self._answer()["peak_rss"]

    def run(self, scene: Path, out: Path) -> dict[str, Any]:
        """Predict a scene; what it took."""
        print(json.dumps({"scene": str(scene), "out": str(out)}), file=self._process.stdin)
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries print while they are imported
                return json.loads(line)
        raise SystemExit(f"{self._process.args} failed:\n{self._process.stderr.read()[-3000:]}")


def write_scene(path: Path, pixels: np.ndarray) -> Path:
    """A tiled, compressed GeoTIFF of RGB pixels."""
    height, width, bands = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=bands, dtype="uint8",
        tiled=True, blockxsize=256, blockysize=256, compress="deflate", crs="EPSG:32633",
        transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    ) as dataset:  # fmt: skip
        dataset.write(np.moveaxis(pixels, -1, 0))
    return path


def write_sparse_scene(path: Path, height: int, width: int) -> Path:
    """A scene of which the file holds no pixel at all: they all read as 0, and are data."""
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8",
        tiled=True, compress="deflate", SPARSE_OK=True, crs="EPSG:32633",
        transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    ):  # fmt: skip
        return path


def overhead(taken: dict[str, Any], windows: int, kind: str) -> float:
    """Seconds beyond the network on the fewest windows."""
    forward = taken["forward_wall" if kind == "wall" else "forward_cpu"]
    return taken[kind] - forward / taken["windows"] * windows


def compare(
    model: str, ways: list[str], scene: Path, *, side: int, repeats: int, keep_memory: bool
) -> None:
    """Let the ways take turns on a scene, and print medians."""
    windows, mpx = len(plan_windows(side, side, WINDOW, STRIDE)), side**2 / 1e6
    processes = {way: Way(way, model, keep_memory=keep_memory) for way in ways}
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for repeat in range(repeats + 1):
        for way, process in processes.items():
            taken = process.run(scene, scene.with_name(f"{way}.tif"))
            if repeat:  # the first round warms up
                rounds[way].append(taken)
    for process in processes.values():
        process.close()

    def median(way: str, kind: str) -> float:
        return statistics.median(overhead(taken, windows, kind) for taken in rounds[way])

    first = rounds[ways[0]]
    network = statistics.median(1e3 * t["forward_cpu"] / t["windows"] for t in first)
    print(f"\n{model}: network {network:.1f} ms a window, {side} x {side} px, {windows} windows")
    print("  way         windows  wall s | overhead ms/Mpx: CPU   main   wall | x mmrs  peak MB")
    for way in ways:
        ratio = statistics.median(
            overhead(t, windows, "cpu") / overhead(o, windows, "cpu")
            for t, o in zip(rounds[way], first, strict=True)
        )
        cpu, main, wall = (1e3 * median(way, kind) / mpx for kind in ("cpu", "main", "wall"))
        # its threads are all not the main one
        main_text = f"{main:6.1f}" if way != "inferencer" else "     -"
        seconds = statistics.median(taken["wall"] for taken in rounds[way])
        count, peak = (rounds[way][-1][key] for key in ("windows", "peak_rss"))
        base = processes[way].base_rss
        print(
            f"  {way:11s} {count:7d} {seconds:7.2f} | {cpu:20.1f} {main_text} {wall:6.1f} |"
            f" {ratio:6.1f} {peak / 2**20:8.0f} (imports {base / 2**20:.0f})"
        )
    for kind in ("cpu", "main"):
        share = statistics.median(
            overhead(t, windows, kind) / (t["forward_cpu"] / t["windows"] * windows) for t in first
        )
        print(f"  {ways[0]}: {100 * share:.1f} % over the network in {kind} time")


def compare_memory(rows: list[int], width: int, folder: Path, *, keep_memory: bool) -> None:
    """Peak memory of scenes of one width and several heights, each in a fresh process."""
    peaks = []
    print(f"\nconv1x1, scenes {width} px wide")
    for height in rows:
        way = Way("mmrs", "conv1x1", keep_memory=keep_memory)
        scene = write_sparse_scene(folder / f"{height}.tif", height, width)
        taken = way.run(scene, folder / "map.tif")
        way.close()
        peaks.append(taken["peak_rss"])
        print(
            f"  {height:7d} rows: {taken['wall']:7.1f} s, peak {peaks[-1] / 2**20:6.1f} MB"
            f" (before: {way.base_rss / 2**20:.1f}), {peaks[-1] / peaks[0]:.4f} x the first"
        )


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["conv1x1", "conv3x3"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--memory", action="store_true", help="compare heights instead")
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 50_000])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument(
        "--keep-memory",
        action="store_true",
        help="keep freed memory in every process, as tools/predict.py does",
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.memory:
            compare_memory(args.rows, args.width, Path(folder), keep_memory=args.keep_memory)
            return
        scene = write_scene(Path(folder) / "scene.tif", make_scene(args.side)[: args.side])
        for model in args.models:
            compare(
                model,
                args.ways,
                scene,
                side=args.side,
                repeats=args.repeats,
                keep_memory=args.keep_memory,
            )


if __name__ == "__main__":
    main()
