"""Whether a trained model's map shows where its windows lie.

    OMP_NUM_THREADS=1 python -m benchmarks.seams demo --demo demo_out
    OMP_NUM_THREADS=1 python -m benchmarks.seams real --data DIR --weights real.pth

The rate at which the class changes from one pixel to the next across the lines on which windows
begin or end, over the same rate inside windows: 1 where the windows leave no trace.  A network has
a grid of its own (of its strides, of its attention's windows), and classes change more often on it
wherever windows lie; these lines are always on it.  So "inside" is told twice: those other pairs of
neighbours that are on that grid too (``--cell``), and all others.

Three maps of the same scene: blended as ``tools/predict.py`` does by default (cosine, half a
window's overlap), without weights (flat, half a window's overlap), and the control, windows side
by side (flat, no overlap), which shows seams.

The scene is predicted several times, each time with its first rows and columns cut off, so that the
lines fall on other ground; the interval is of a bootstrap over square blocks of ground (95 %, 2,000
draws), which the same block of all these maps enters together.

``demo`` takes the scene and the weights of ``tools/demo.py``.  ``real`` trains the small Hi-ResNet
of ``benchmarks.real`` on real pictures (those of its training split) unless the weights are there,
and maps a mosaic of the validation split; pairs across the joins of the mosaic do not count.
Figures are in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmrs.apis import SceneSegmentor
from mmrs.geo.palette import NODATA_LABEL, paint
from mmrs.geo.raster import Raster
from mmrs.geo.windows import plan_starts

DATASET = "googlemap_landcover"
DRAWS = 2000


@dataclass(frozen=True)
class Way:
    """One way to make a map: its name, its blend, its stride over its window."""

    name: str
    blend: str
    stride_ratio: float


WAYS = (
    Way("cosine, half overlap", "cosine", 0.5),
    Way("flat, half overlap", "flat", 0.5),
    Way("control: flat, no overlap", "flat", 1.0),
)


@dataclass(frozen=True)
class Ground:
    """What is mapped.

    Attributes:
        pixels: (H, W, bands).
        nodata: Of the pixels, or None.
        joins: Multiples of this many pixels are joins of pictures; 0 for none.
    """

    pixels: NDArray[np.uint8]
    nodata: float | None = None
    joins: int = 0


def window_lines(length: int, window: int, stride: int) -> NDArray[np.intp]:
    """Pixels along one side that are the first of a window, or the first after one."""
    starts = np.array(plan_starts(length, window, stride))
    lines = np.union1d(starts, starts + min(window, length))
    return lines[(lines > 0) & (lines < length)]


def count_changes(
    labels: NDArray[np.uint8],
    rows: Iterable[int],
    cols: Iterable[int],
    *,
    skip: tuple[Sequence[int], Sequence[int]] = ((), ()),
    offset: int = 0,
    block: int = 128,
    cell: int = 16,
) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Count pairs of neighbours, and in how many of them the class changes, by block of ground.

    Args:
        labels: (H, W), 255 = no data, which is in no pair.
        rows: Lines: pairs of a row here and the one above.
        cols: Likewise of columns.
        skip: Rows and columns whose pairs count nowhere.
        offset: Where (0, 0) lies on the ground, in both directions.
        block: Side of a block, in pixels.
        cell: Side of a cell of the network's grid, whose first cell begins at (0, 0).

    Returns:
        For each block (3, 2): changes and pairs on lines, elsewhere on the network's grid, and
        elsewhere.
    """
    total: dict[tuple[int, int], NDArray[np.int64]] = {}
    for axis, lines in enumerate((rows, cols)):
        moved = labels if axis == 0 else labels.T
        valid = (moved[1:] != NODATA_LABEL) & (moved[:-1] != NODATA_LABEL)
        valid[[line - 1 for line in skip[axis]]] = False
        changed = (moved[1:] != moved[:-1]) & valid
        second = np.arange(1, len(moved))  # pairs go by their second pixel
        on_line = np.isin(second, list(lines))
        groups = np.stack([on_line, ~on_line & (second % cell == 0), ~on_line])
        for i, first, last in _pieces(len(moved), offset, block):
            part = slice(max(first, 1) - 1, last - 1)
            for j, left, right in _pieces(moved.shape[1], offset, block):
                was, pairs = changed[part, left:right], valid[part, left:right]
                counts = [[was[group].sum(), pairs[group].sum()] for group in groups[:, part]]
                key = (i, j) if axis == 0 else (j, i)
                total[key] = total.get(key, 0) + np.array(counts, dtype=np.int64)
    return total


def _pieces(length: int, offset: int, block: int) -> list[tuple[int, int, int]]:
    """(block, first, one past last) of the blocks of ground along one side."""
    first, last = offset // block, (offset + length - 1) // block
    return [
        (index, max(0, index * block - offset), min(length, (index + 1) * block - offset))
        for index in range(first, last + 1)
    ]


def ratios_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rate on lines over both rates elsewhere, (2,), of counts (blocks, 3, 2)."""
    changes, pairs = counts.sum(axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = changes / pairs
        return rates[0] / rates[1:]


def intervals(counts: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.float64]:
    """95 % intervals of the ratios, (2, 2), by a bootstrap over the blocks (blocks, 3, 2)."""
    rng = np.random.default_rng(seed)
    drawn = [ratios_of(counts[rng.integers(0, len(counts), len(counts))]) for _ in range(DRAWS)]
    return np.nanpercentile(drawn, (2.5, 97.5), axis=0).T


def measure(
    segmentor: SceneSegmentor,
    ground: Ground,
    way: Way,
    *,
    window: int,
    shifts: int,
    block: int,
    cell: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Counts of each block (blocks, 3, 2), and the map of the whole ground."""
    stride = round(way.stride_ratio * window)
    total: dict[tuple[int, int], NDArray[np.int64]] = {}
    whole = None
    for shift in range(shifts):
        offset = shift * window // (2 * shifts)
        pixels = ground.pixels[offset:, offset:]
        found = segmentor(
            pixels, nodata=ground.nodata, window=window, stride=stride, blend=way.blend
        ).labels
        whole = found if whole is None else whole
        lines = [window_lines(length, window, stride) for length in found.shape]
        skip = tuple(
            [at - offset for at in range(ground.joins, offset + length, ground.joins)]
            if ground.joins else []
            for length in found.shape
        )  # fmt: skip
        counts = count_changes(found, *lines, skip=skip, offset=offset, block=block, cell=cell)
        for key, value in counts.items():
            total[key] = total.get(key, 0) + value
    return np.stack(list(total.values())), whole


def demo_case(folder: Path) -> tuple[SceneSegmentor, Ground]:
    """The demo's scene and network, as ``tools/demo.py`` left them."""
    from mmrs.apis.demo.command import CONFIG

    weights = sorted(
        (folder / "train").glob("iter_*.pth"), key=lambda path: int(path.stem.split("_")[1])
    )
    segmentor = SceneSegmentor(Path(__file__).parents[1] / CONFIG, weights[-1])
    with Raster(folder / "scene.tif") as raster:
        return segmentor, Ground(raster.read(), raster.nodata)


def real_case(data: Path, weights: Path, *, budget: float) -> tuple[SceneSegmentor, Ground]:
    """The small Hi-ResNet of real pictures, and a mosaic of pictures that it never saw."""
    import torch

    from benchmarks.real.data import CLASSES, COLOURS, IMAGE_MEAN, IMAGE_STD, load_split
    from benchmarks.real.models import build, config_of
    from mmrs.apis.channels.channel_contract import ChannelContract
    from mmrs.apis.window.window_model import SegmentorWindowModel, load_weights

    train_set, val_set = load_split(data, DATASET)
    classes = CLASSES[DATASET]
    config = config_of("hiresnet", len(classes))
    config["data_preprocessor"] = {
        "type": "SegDataPreProcessor", "mean": list(IMAGE_MEAN), "std": list(IMAGE_STD),
    }  # fmt: skip
    if not weights.is_file():
        torch.save({"state_dict": train(train_set, budget=budget).state_dict()}, weights)
    model = build(config)
    load_weights(model, weights)
    segmentor = SceneSegmentor(
        SegmentorWindowModel(
            model.eval(),
            contract=ChannelContract(3, "uint8", "file", mean=IMAGE_MEAN, std=IMAGE_STD),
            classes=classes,
            palette=COLOURS[DATASET],
        )
    )
    mean, std = (torch.tensor(x)[:, None, None] for x in (IMAGE_MEAN, IMAGE_STD))
    pictures = (val_set.images * std + mean).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    across = int(len(pictures) ** 0.5)
    lines = [
        np.concatenate(list(pictures[first : first + across].numpy()), axis=1)
        for first in range(0, len(pictures) - across + 1, across)
    ]
    return segmentor, Ground(np.concatenate(lines), joins=pictures.shape[1])


def train(subset: object, *, budget: float) -> object:
    """Train the small Hi-ResNet for some CPU seconds, as ``benchmarks.real.train`` does."""
    import torch

    from benchmarks.real.data import CLASSES, CropSampler
    from benchmarks.real.models import build, config_of
    from benchmarks.real.run import PEAK_RATE
    from benchmarks.real.train import rate_factor, step

    torch.manual_seed(0)
    np.random.seed(0)
    model = build(config_of("hiresnet", len(CLASSES[DATASET]))).train()
    model = model.to(memory_format=torch.channels_last)
    peak = PEAK_RATE["hiresnet"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01, fused=True)
    sampler = CropSampler(subset, crop_px=128, batch_size=8, seed=0)
    used = 0.0
    while used < budget:
        start = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = peak * rate_factor(used / budget, 0.05)
        step(model, optimizer, sampler)
        used += time.process_time() - start
    return model


def write_picture(
    path: Path, ground: Ground, maps: Sequence[NDArray[np.uint8]], segmentor: SceneSegmentor
) -> None:
    """The image and the maps side by side, each pixel twice as large."""
    side = 2 * 256
    corner = [max(0, (length - side) // 2) for length in maps[0].shape]
    part = (slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side))
    panels = [ground.pixels[part][..., :3]]
    panels += [paint(labels[part], segmentor.model.palette) for labels in maps]
    page = np.concatenate([np.pad(panel, ((0, 0), (0, 8), (0, 0))) for panel in panels], axis=1)
    Image.fromarray(np.kron(page, np.ones((2, 2, 1), np.uint8))).save(path)


def main() -> int:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=("demo", "real"))
    parser.add_argument("--demo", type=Path, default=Path("demo_out"), help="folder of the demo")
    parser.add_argument("--data", type=Path, help="folder of the real data sets")
    parser.add_argument("--weights", type=Path, default=Path("real.pth"), help="kept of `real`")
    parser.add_argument("--budget", type=float, default=300, help="CPU seconds of training")
    parser.add_argument("--window", type=int, help="side of a window; 256 of demo, 128 of real")
    parser.add_argument("--shifts", type=int, default=4, help="maps of each way")
    parser.add_argument("--block", type=int, default=128, help="side of a block, in pixels")
    parser.add_argument("--cell", type=int, default=16, help="cell of the network's grid")
    parser.add_argument("--picture", type=Path, help="a PNG of the maps beside each other")
    args = parser.parse_args()
    logging.disable(logging.INFO)  # MMEngine tells the initialisation of every tensor
    if args.case == "real" and not (args.data and args.data.is_dir()):
        print("error: --data: no such folder. Fix: give the data sets' folder", file=sys.stderr)
        return 1
    if args.case == "demo":
        segmentor, ground = demo_case(args.demo)
    else:
        segmentor, ground = real_case(args.data, args.weights, budget=args.budget)
    window = args.window or {"demo": 256, "real": 128}[args.case]
    height, width, _ = ground.pixels.shape
    print(f"{args.case}: {height} x {width} px, windows of {window} px, {args.shifts} maps a way")
    print(f"{'way':26} {'pairs':>8} {'lines':>7} {'grid':>7} {'all':>7}  lines/grid, lines/all")
    maps = []
    for way in WAYS:
        counts, labels = measure(
            segmentor,
            ground,
            way,
            window=window,
            shifts=args.shifts,
            block=args.block,
            cell=args.cell,
        )
        maps.append(labels)
        changes, pairs = counts.sum(axis=0).T
        rates = "  ".join(f"{rate:6.2%}" for rate in changes / pairs)
        told = [
            f"{ratio:.3f} ({low:.3f} to {high:.3f})"
            for ratio, (low, high) in zip(ratios_of(counts), intervals(counts), strict=True)
        ]
        print(f"{way.name:26} {pairs[0]:8,} {rates}  {', '.join(told)}", flush=True)
    if args.picture is not None:
        write_picture(args.picture, ground, maps, segmentor)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
