"""Pictures without labels for pre-training, none of which is a test picture, and their views.

The imagery is that of ``benchmarks.real.data`` and the scene set ``rsscn7_unlabelled``, whose
folders are its classes.  Of the segmentation sets only names of the committed *training* lists are
ever opened here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.real.data import (
    CLASSES,
    IMAGE_MEAN,
    IMAGE_STD,
    SIZE_PX,
    Sample,
    list_samples,
    read_split,
)
from mmrs.errors import DataError

SCENES = "rsscn7_unlabelled"
SCENE_SIZE_PX = 256
WINDOW_PX = 128
# flipped copies of other pictures: as images of their own they would be false negatives
_COPIES = "data_aug_rgba/"


@dataclass(frozen=True)
class Scenes:
    """The labelled scene set in memory.

    Attributes:
        pixels: (N, H, W, 3) uint8, RGB.
        labels: (N,) int64.
        classes: Names of the classes, those of the folders.
    """

    pixels: np.ndarray
    labels: Tensor
    classes: tuple[str, ...]


def training_samples(root: Path, dataset: str) -> list[Sample]:
    """Pictures of the committed training list, without copies, by name.

    Raises:
        DataError: A picture of the list is missing.
    """
    wanted = {name for name in read_split(dataset)["train"] if not name.startswith(_COPIES)}
    found = [sample for sample in list_samples(root, dataset) if sample.name in wanted]
    if len(found) < len(wanted):
        raise DataError(f"{len(wanted) - len(found)} pictures of {dataset} are missing", where=root)
    return found


def scene_paths(root: Path) -> list[Path]:
    """Pictures of the scene set, by class and name.

    Raises:
        DataError: There are none.
    """
    paths = sorted((root / SCENES).glob("*/*.jpg"))
    if not paths:
        raise DataError(
            "holds no pictures", where=root / SCENES, fix=f"give the folder of {SCENES} as --data"
        )
    return paths


def unlabelled_paths(root: Path) -> list[tuple[Path, int]]:
    """Every picture for pre-training, and the side in pixels at which it is read."""
    paths = [(path, SCENE_SIZE_PX) for path in scene_paths(root)]
    for dataset in CLASSES:
        paths += [(sample.image, SIZE_PX[dataset]) for sample in training_samples(root, dataset)]
    return paths


def read_pixels(path: Path, size_px: int) -> np.ndarray:
    """(size_px, size_px, 3) uint8, RGB; by the mean over areas where the picture is larger."""
    image = Image.open(path).convert("RGB")
    if image.size != (size_px, size_px):
        image = image.resize((size_px, size_px), Image.Resampling.BOX)
    return np.asarray(image)


def cells(pixels: np.ndarray, size_px: int = WINDOW_PX) -> list[np.ndarray]:
    """Windows of about ``size_px`` that cover a picture (H, W, C) and share no pixel."""
    rows, columns = (
        np.linspace(0, side, max(1, round(side / size_px)) + 1).astype(int)
        for side in pixels.shape[:2]
    )
    return [
        pixels[top:bottom, left:right]
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def unlabelled_windows(root: Path) -> list[np.ndarray]:
    """The images of pre-training: the windows of all pictures, (H, W, 3) uint8 each.

    Windows and not pictures, as `mmrs.UnlabelledRasterDataset` reads them: two views of one share
    ground, and a view of 64 px has nearly the scale that fine-tuning has.
    """
    return [cell for one in unlabelled_paths(root) for cell in cells(read_pixels(*one))]


def load_scenes(root: Path) -> Scenes:
    """Read the scene set."""
    paths = scene_paths(root)
    classes = tuple(sorted({path.parent.name for path in paths}))
    labels = torch.tensor([classes.index(path.parent.name) for path in paths])
    return Scenes(np.stack([read_pixels(p, SCENE_SIZE_PX) for p in paths]), labels, classes)


def standardised(pixels: np.ndarray) -> Tensor:
    """(..., H, W, 3) in 0 .. 255 -> (..., 3, H, W) float32, as fine-tuning sees its pictures."""
    values = (pixels.astype(np.float32) - np.float32(IMAGE_MEAN)) / np.float32(IMAGE_STD)
    return torch.from_numpy(values).movedim(-1, -3)


def few_names(dataset: str, ratio: float, seed: int) -> tuple[str, ...]:
    """A part of the training list at random, without copies; all of it at a ratio of 1."""
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio must be in (0, 1], got {ratio}")
    names = read_split(dataset)["train"]
    if ratio == 1:
        return tuple(names)
    count = max(1, round(ratio * len(names)))
    distinct = sorted(name for name in names if not name.startswith(_COPIES))
    chosen = np.random.default_rng(seed).choice(len(distinct), count, replace=False)
    return tuple(distinct[i] for i in sorted(chosen))


def view_transforms(crop_px: int) -> list[dict[str, Any]]:
    """Those of configs/pretrain/hiresnet_tiny_mocov2_rasters.py."""
    colour: dict[str, Any] = {
        "type": "mmrs.PhotometricDistortion",
        "rgb_bands": (0, 1, 2),
        "ignore_index": None,
    }
    jitter = {"brightness": 0.4, "contrast": (0.6, 1.4), "saturation": (0.6, 1.4), "hue": 36.0}
    grey = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (0.0, 0.0)}
    return [
        {
            "type": "mmpretrain.RandomResizedCrop",
            "scale": crop_px,
            "crop_ratio_range": (0.2, 1.0),
        },
        {"type": "mmseg.RandomFlip", "prob": 0.5, "direction": "horizontal"},
        {"type": "mmrs.RandomRotate90"},
        {**colour, **jitter, "prob": 0.8},
        {**colour, **grey, "prob": 0.2},
        {"type": "mmrs.RandomBlur", "sigma_px": (0.1, 2.0), "prob": 0.5},
    ]


class ViewSampler:
    """Endless seeded batches of two views; every picture once an epoch.

    Args:
        pixels: (H, W, 3) uint8, of any sizes.
        crop_px: Side of a view.
        batch_size: Pictures in a batch.
        seed: Of the order. The views draw from the global generators.
    """

    def __init__(self, pixels: Sequence[np.ndarray], *, crop_px: int, batch_size: int, seed: int):
        import mmrs.datasets.transforms  # noqa: F401  registers them
        from mmrs.datasets.transforms.two_views import TwoViews

        self.pixels = pixels
        self.batch_size = batch_size
        self.views = TwoViews(transforms=view_transforms(crop_px))
        self.generator = torch.Generator().manual_seed(seed)
        self.order: list[int] = []

    def next_batch(self) -> tuple[list[Tensor], list[int]]:
        """Two views (B, 3, C, C) float32, standardised, and which pictures they are of."""
        if len(self.order) < self.batch_size:
            self.order = torch.randperm(len(self.pixels), generator=self.generator).tolist()
        ids = [self.order.pop() for _ in range(self.batch_size)]
        pairs = []
        for i in ids:
            image = self.pixels[i].copy()
            sample = {"img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}
            pairs.append(self.views.transform(sample)["img"])
        views = [standardised(np.stack([pair[k] for pair in pairs])) for k in (0, 1)]
        return views, ids
