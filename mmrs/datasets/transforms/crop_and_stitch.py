"""Crop-and-stitch: four images meet at one point, and their labels with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from numpy.typing import NDArray

from mmrs.datasets.worker_random import draw_generator
from mmrs.errors import ConfigError, DataError
from mmrs.registry import TRANSFORMS

Point = tuple[int, int]


def crop_and_stitch(
    images: Sequence[NDArray],
    labels: Sequence[NDArray],
    boundary: Point,
    offsets: Sequence[Point],
    *,
    size: Point | None = None,
) -> tuple[NDArray, NDArray]:
    """Fill the four quadrants around a point, each from its own image and that image's label.

    The order is upper left, upper right, lower left, lower right. A quadrant without width or
    height takes nothing from its image.

    Args:
        images: Four of (H, W, C) or (H, W), of one type.
        labels: Four of (H, W), each of the size of its image.
        boundary: (w, h): columns of the quadrants on the left, rows of those above, in pixels.
        offsets: Four (x, y): first column and row of each crop in its image.
        size: (height, width) of the result; that of the images, which must then be equal.

    Returns:
        Image and label of ``size``: pixels [y, x] of both come from one pixel of one source.

    Raises:
        ValueError: There are not four of each, sizes or types do not fit, or a crop leaves its
            image.

    Source: the dilated-SPP paper, eqs. 1-5; one boundary point is shared by the four, and labels
        are stitched in space (its eq. 3 mixes them by area, which is for classification).
    """
    for name, four in (("images", images), ("labels", labels), ("offsets", offsets)):
        if len(four) != 4:
            raise ValueError(f"{name} must be four, got {len(four)}")
    for image, label in zip(images, labels, strict=True):
        if image.shape[:2] != label.shape:
            raise ValueError(f"label must be {image.shape[:2]} as its image, got {label.shape}")
    if size is None:
        size = images[0].shape[:2]
        if any(image.shape[:2] != size for image in images):
            raise ValueError(f"images must be of one size, got {[i.shape[:2] for i in images]}")
    boxes = _quadrants(boundary, size)
    return _fill(images, boxes, offsets, size), _fill(labels, boxes, offsets, size)


def _quadrants(boundary: Point, size: Point) -> list[tuple[slice, slice]]:
    """Rows and columns of each quadrant of the result."""
    (w, h), (height, width) = boundary, size
    if not (0 <= w <= width and 0 <= h <= height):
        raise ValueError(f"boundary must lie in (0, 0) .. {(width, height)}, got {boundary}")
    above, below = slice(0, h), slice(h, height)
    left, right = slice(0, w), slice(w, width)
    return [(above, left), (above, right), (below, left), (below, right)]


def _fill(
    maps: Sequence[NDArray],
    boxes: Sequence[tuple[slice, slice]],
    offsets: Sequence[Point],
    size: Point,
) -> NDArray:
    kinds = {(each.dtype, each.shape[2:]) for each in maps}
    if len(kinds) > 1:
        raise ValueError(f"all four must have one type and channels, got {sorted(map(str, kinds))}")
    result = np.empty((*size, *maps[0].shape[2:]), dtype=maps[0].dtype)
    for source, (rows, cols), (x, y) in zip(maps, boxes, offsets, strict=True):
        height, width = rows.stop - rows.start, cols.stop - cols.start
        if min(x, y) < 0 or y + height > source.shape[0] or x + width > source.shape[1]:
            raise ValueError(
                f"a crop of {height} x {width} at (x {x}, y {y}) leaves its image of "
                f"{source.shape[0]} x {source.shape[1]} (rows x columns)"
            )
        result[rows, cols] = source[y : y + height, x : x + width]
    return result


def draw_stitch(
    rng: np.random.Generator,
    size: Point,
    image_sizes: Sequence[Point],
    *,
    beta: tuple[float, float] = (0.3, 0.3),
) -> tuple[Point, list[Point]]:
    """Draw the boundary from a beta distribution, then a place for each crop, uniformly.

    Args:
        rng: Where the numbers come from.
        size: (height, width) of the result.
        image_sizes: (height, width) of the four images, none smaller than ``size``.
        beta: The two parameters; below 1 they favour the edges, so that one image often fills
            most of the result.

    Returns:
        The boundary (w, h), rounded to whole pixels, and four offsets (x, y).

    Source: the dilated-SPP paper, eqs. 1-2 and 4.
    """
    height, width = size
    across, down = rng.beta(*beta, size=2)
    boundary = (int(np.rint(width * across)), int(np.rint(height * down)))
    offsets = []
    for (rows, cols), (rows_here, cols_here) in zip(
        image_sizes, _quadrants(boundary, size), strict=True
    ):
        spare_y = rows - (rows_here.stop - rows_here.start)
        spare_x = cols - (cols_here.stop - cols_here.start)
        offsets.append((int(rng.integers(spare_x + 1)), int(rng.integers(spare_y + 1))))
    return boundary, offsets


@TRANSFORMS.register_module()
class CropAndStitch(BaseTransform):
    """Stitch a sample with three others, image and labels alike.

    It stands in the pipeline of MMSegmentation's ``MultiImageMixDataset``, which draws the three
    others (``mix_results``), or works inside `mmrs.CropAndStitchDataset`, the doubled set of the
    paper. Random numbers are others in every epoch, worker and process, and follow from the run's
    seed.

    Args:
        prob: Share of the samples that are stitched; half of them is the paper's 1 : 1.
        beta: Parameters of the boundary's beta distribution.
        size: (height, width) of the result; by default that of the images, which must be equal.

    Raises:
        ConfigError: An option is out of range, or nothing draws the three others.
        DataError: An image is smaller than ``size``, the four differ, or a label is not of the
            size of its image.

    Source: the dilated-SPP paper, eqs. 1-5.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        beta: tuple[float, float] = (0.3, 0.3),
        size: Point | None = None,
    ) -> None:
        super().__init__()
        rules: tuple[tuple[str, Any, bool, str], ...] = (
            ("prob", prob, 0 <= prob <= 1, "a number from 0 to 1"),
            ("beta", beta, len(beta) == 2 and min(beta) > 0, "two numbers above 0"),
            ("size", size, size is None or (len(size) == 2 and min(size) > 0), "(height, width)"),
        )
        for name, value, holds, rule in rules:
            if not holds:
                raise ConfigError(
                    f"{value!r} is not {rule}", where=f"CropAndStitch.{name}", fix=f"give {rule}"
                )
        self.prob = prob
        self.beta = (beta[0], beta[1])
        self.size = None if size is None else (size[0], size[1])

    def get_indices(self, dataset: Any) -> list[int]:
        """Return which three samples of a data set join the one at hand."""
        drawn = draw_generator().choice(len(dataset), 3, replace=len(dataset) < 3)
        return [int(index) for index in drawn]

    def transform(self, results: dict) -> dict:
        """Stitch ``results`` with ``results['mix_results']``, or leave it as it is."""
        others = results.get("mix_results")
        if others is None or len(others) != 3:
            raise ConfigError(
                "three more samples are needed, and nothing draws them",
                where="CropAndStitch",
                fix="put it into the pipeline of a MultiImageMixDataset, or use "
                "mmrs.CropAndStitchDataset",
            )
        rng = draw_generator()
        if rng.random() >= self.prob:
            return results
        return self.stitch([results, *others], rng)

    def stitch(self, samples: Sequence[dict], rng: np.random.Generator) -> dict:
        """Stitch four samples.

        Args:
            samples: Each with ``img`` and the maps named in ``seg_fields``.
            rng: Where the numbers come from.

        Returns:
            The first sample with image and maps replaced; ``stitch`` tells the four paths, the
            boundary and the offsets.
        """
        fields = samples[0].get("seg_fields") or ["gt_seg_map"]
        sizes = [_check_sample(sample, fields) for sample in samples]
        size = self.size or sizes[0]
        for sample, (rows, cols) in zip(samples, sizes, strict=True):
            fits = rows >= size[0] and cols >= size[1] if self.size else (rows, cols) == size
            if not fits:
                rule = "at least" if self.size else "as the image it is stitched to,"
                raise DataError(
                    f"image is {rows} x {cols}, but must be {rule} {size[0]} x {size[1]} "
                    "(rows x columns)",
                    where=sample.get("img_path"),
                    fix="cut tiles of one size, or set size of CropAndStitch to one that all "
                    "images have",
                )
        boundary, offsets = draw_stitch(rng, size, sizes, beta=self.beta)
        boxes = _quadrants(boundary, size)
        stitched = {**samples[0]}
        stitched.pop("mix_results", None)
        for name in ("img", *fields):
            maps = [np.asarray(sample[name]) for sample in samples]
            try:
                stitched[name] = _fill(maps, boxes, offsets, size)
            except ValueError as error:
                raise DataError(
                    f"{name} cannot be stitched: {error}",
                    where=samples[0].get("img_path"),
                    fix="load all images with one number of channels and type",
                ) from error
        # a stitched image is its own original: no single file has its size or its pixels
        for key in {"img_shape", "ori_shape", "pad_shape"} & stitched.keys():
            stitched[key] = size
        stitched["stitch"] = {
            "img_paths": [sample.get("img_path") for sample in samples],
            "boundary": boundary,
            "offsets": offsets,
        }
        return stitched

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, beta={self.beta}, size={self.size})"


def _check_sample(sample: dict, fields: Sequence[str]) -> Point:
    """Return (height, width) of a sample that has its image and its labels, of one size."""
    for name in ("img", *fields):
        if sample.get(name) is None:
            raise ConfigError(
                f"a sample has no {name!r}",
                where="CropAndStitch",
                fix="load image and labels before it, and pack them (PackSegInputs) after it",
            )
    size = sample["img"].shape[:2]
    for name in fields:
        if sample[name].shape[:2] != size:
            raise DataError(
                f"{name} is {sample[name].shape[0]} x {sample[name].shape[1]} but the image is "
                f"{size[0]} x {size[1]} (rows x columns)",
                where=sample.get("seg_map_path") or sample.get("img_path"),
                fix="give image and label the same size",
            )
    return (int(size[0]), int(size[1]))
