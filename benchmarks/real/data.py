"""The real data sets, read whole into memory: pictures, masks, classes.

``root`` is the folder that holds ``cloud_shadow``, ``googlemap_landcover`` and ``oam_buildings``;
it is an argument of every script here, for none of the imagery may be passed on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mmrs.datasets.transforms.crop_and_stitch import crop_and_stitch, draw_stitch
from mmrs.errors import DataError, LabelError

SPLIT_DIR = Path(__file__).parent / "splits"
CLASSES = {
    "cloud_shadow": ("void", "cloud", "shadow"),
    "googlemap_landcover": ("background", "building", "vegetation", "water", "road"),
    "oam_buildings": ("background", "building"),
}
# palettes as RGB, in the order of the classes
COLOURS = {
    "cloud_shadow": ((0, 0, 0), (128, 0, 0), (0, 128, 0)),
    "googlemap_landcover": ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)),
    "oam_buildings": ((0, 0, 0), (255, 255, 255)),
}
# folder, its pictures, its masks, how a mask's name goes on after the picture's.  The third city of
# oam_buildings, Nairobi, is left out: its labels are visibly offset
FOLDERS = {
    "cloud_shadow": (
        ("data/train", "cloudshadow", "labels", ".png"),
        ("data/val", "cloudshadow", "labels", ".png"),
    ),
    "googlemap_landcover": (
        ("data", "imgs", "masks", ".png"),
        ("data_aug_rgba", "imgs", "masks", ".png"),
    ),
    "oam_buildings": (
        ("zanzibar", "data", "labels", ".tif"),
        ("kampala_geotiff", "chips", "binarymasks", ".mask.tif"),
    ),
}
# the land-cover tiles are halved: 512 px would spend the budget on a few hundred iterations
SIZE_PX = {"cloud_shadow": 224, "googlemap_landcover": 256, "oam_buildings": 256}
IMAGE_MEAN = (123.675, 116.28, 103.53)
IMAGE_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Sample:
    """One picture and its mask, by a name that is unique in its data set."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Subset:
    """Pictures and masks in memory.

    Attributes:
        names: Names of the pictures.
        images: (N, 3, S, S) float32, standardised by ImageNet's statistics.
        masks: (N, S, S) uint8, class indices.
    """

    names: tuple[str, ...]
    images: Tensor
    masks: Tensor


def list_samples(root: Path, dataset: str) -> list[Sample]:
    """List the pictures of a data set with their masks, by name.

    Raises:
        DataError: The folder is missing or empty, or a mask is.
    """
    samples = []
    for folder, images, masks, mask_suffix in FOLDERS[dataset]:
        base = root / dataset / folder
        for image in sorted((base / images).iterdir() if (base / images).is_dir() else []):
            if image.suffix in (".jpg", ".png", ".tif"):
                name = f"{Path(folder).name}/{image.stem}"
                samples.append(Sample(name, image, base / masks / f"{image.stem}{mask_suffix}"))
    if not samples:
        raise DataError(
            "holds no pictures",
            where=root / dataset,
            fix=f"give the folder that holds {', '.join(CLASSES)} as --data",
        )
    for sample in samples:
        if not sample.mask.is_file():
            raise DataError("no mask for this picture", where=sample.image)
    return sorted(samples, key=lambda sample: sample.name)


def decode_mask(mask: Image.Image, colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """Class indices (H, W) uint8 of a mask.

    A palette mask holds indices; an RGB mask goes by the nearest colour, for a few carry noise of
    the colours; a grey one tells two classes apart, as 0 and 1 or as 0 and 255.  Encodings mix
    within one data set.

    Raises:
        LabelError: A palette index is no class, or a grey mask is not binary.
    """
    if mask.mode == "L":
        grey = np.asarray(mask)
        if len(colours) != 2 or not np.isin(grey, (0, 1, 255)).all():
            raise LabelError(
                f"a grey mask with values {np.unique(grey)[:8].tolist()} is no binary one"
            )
        return (grey > 0).astype(np.uint8)
    if mask.mode == "P":
        indices = np.asarray(mask)
        if indices.max() >= len(colours):
            raise LabelError(f"value {indices.max()}, but there are {len(colours)} classes")
        return indices.astype(np.uint8)
    pixels = np.asarray(mask.convert("RGB")).astype(np.int32)
    distance = ((pixels[..., None, :] - np.array(colours)) ** 2).sum(-1)
    return distance.argmin(-1).astype(np.uint8)


def load(samples: list[Sample], dataset: str) -> Subset:
    """Read pictures and masks into memory at the size of the data set."""
    size = SIZE_PX[dataset]
    images, masks = [], []
    for sample in samples:
        pixels = np.asarray(Image.open(sample.image).convert("RGB")).astype(np.float32)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        mask = torch.from_numpy(decode_mask(Image.open(sample.mask), COLOURS[dataset]))
        if image.shape[-2:] != mask.shape:
            raise DataError(
                f"picture {tuple(image.shape[-2:])} and mask {tuple(mask.shape)} differ in size",
                where=sample.image,
            )
        if image.shape[-1] != size:
            image = F.interpolate(image, (size, size), mode="area")
            mask = F.interpolate(mask[None, None], (size, size), mode="nearest-exact")[0, 0]
        images.append(image)
        masks.append(mask)
    mean = torch.tensor(IMAGE_MEAN)[:, None, None]
    std = torch.tensor(IMAGE_STD)[:, None, None]
    stacked = (torch.cat(images) - mean) / std
    return Subset(tuple(s.name for s in samples), stacked, torch.stack(masks))


def read_split(dataset: str) -> dict[str, list[str]]:
    """The committed names of the training and validation pictures."""
    document = json.loads((SPLIT_DIR / f"{dataset}.json").read_text())
    return {part: document[part] for part in ("train", "val")}


def load_split(root: Path, dataset: str) -> tuple[Subset, Subset]:
    """Read the training and the validation pictures of the committed split.

    Raises:
        DataError: A picture of the split is missing.
    """
    by_name = {sample.name: sample for sample in list_samples(root, dataset)}
    split = read_split(dataset)
    missing = [name for part in split.values() for name in part if name not in by_name]
    if missing:
        raise DataError(f"{len(missing)} pictures are missing, first {missing[0]}", where=root)
    train, val = (
        load([by_name[name] for name in split[part]], dataset) for part in ("train", "val")
    )
    return train, val


class CropSampler:
    """Endless seeded batches: random crops, turned and mirrored, every picture once an epoch."""

    def __init__(self, subset: Subset, *, crop_px: int, batch_size: int, seed: int):
        size = subset.images.shape[-1]
        if not 0 < crop_px <= size:
            raise ValueError(f"crop_px must be in 1..{size}, got {crop_px}")
        self.subset = subset
        self.crop_px = crop_px
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self.order: list[int] = []

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        return len(self.subset.names)

    def _integer(self, high: int) -> int:
        return int(torch.randint(high, (), generator=self.generator))

    def _next_index(self) -> int:
        if not self.order:
            self.order = torch.randperm(len(self), generator=self.generator).tolist()
        return self.order.pop()

    def _next_sample(self) -> tuple[Tensor, Tensor]:
        """Picture (3, C, C) and mask (C, C), neither turned nor mirrored."""
        return self._crop(self._next_index())

    def _crop(self, i: int) -> tuple[Tensor, Tensor]:
        crop = self.crop_px
        slack = self.subset.images.shape[-1] - crop + 1
        top, left = self._integer(slack), self._integer(slack)
        image = self.subset.images[i, :, top : top + crop, left : left + crop]
        return image, self.subset.masks[i, top : top + crop, left : left + crop]

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, C, C) float32 and masks (B, C, C) int64."""
        images, masks = [], []
        for _ in range(self.batch_size):
            image, mask = self._next_sample()
            turns, mirrored = self._integer(4), self._integer(2)
            image, mask = (torch.rot90(x, turns, dims=(-2, -1)) for x in (image, mask))
            if mirrored:
                image, mask = image.flip(-1), mask.flip(-1)
            images.append(image)
            masks.append(mask)
        return torch.stack(images), torch.stack(masks).long()


class StitchingSampler(CropSampler):
    """The crops, and as many crop-and-stitch samples beside them: twice the pictures an epoch."""

    def __init__(self, subset: Subset, *, crop_px: int, batch_size: int, seed: int):
        super().__init__(subset, crop_px=crop_px, batch_size=batch_size, seed=seed)
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        return 2 * len(self.subset.names)

    def _next_sample(self) -> tuple[Tensor, Tensor]:
        i, count = self._next_index(), len(self.subset.names)
        return self._crop(i) if i < count else self._stitch(i - count)

    def _stitch(self, i: int) -> tuple[Tensor, Tensor]:
        four = [i, *self.rng.choice(len(self.subset.names), 3, replace=False)]
        size = (self.crop_px, self.crop_px)
        images = [self.subset.images[k].permute(1, 2, 0).numpy() for k in four]
        masks = [self.subset.masks[k].numpy() for k in four]
        boundary, offsets = draw_stitch(self.rng, size, [mask.shape for mask in masks])
        image, mask = crop_and_stitch(images, masks, boundary, offsets, size=size)
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)
