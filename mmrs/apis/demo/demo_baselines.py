"""What the demo's network must beat: guessing the commonest class, and looking at colour alone."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from mmrs.geo.palette import NODATA_LABEL

Pixels = NDArray[np.uint8]

BITS = 5  # of each colour, 32 steps


class MajorityBaseline:
    """Says the commonest class of the training pixels, everywhere."""

    def __init__(self, num_classes: int):
        self._counts = np.zeros(num_classes, dtype=np.int64)

    def fit(self, tiles: Iterable[tuple[Pixels, Pixels]]) -> MajorityBaseline:
        """Count the pixels of (image, class indices) pairs; 255 does not count."""
        for _, labels in tiles:
            valid = labels[labels != NODATA_LABEL]
            self._counts += np.bincount(valid, minlength=len(self._counts))
        return self

    def predict(self, image: Pixels) -> Pixels:
        """(H, W, 3) -> class indices (H, W)."""
        return np.full(image.shape[:2], self._counts.argmax(), dtype=np.uint8)


class ColourBaseline:
    """Bayes' rule on a pixel's colour: the class that was commonest among its like.

    A histogram of 32 x 32 x 32 colours for each class, smoothed so that colours never seen
    borrow from their neighbours; the best that a method can do which sees one pixel at a time,
    up to the width of the bins.
    """

    def __init__(self, num_classes: int):
        steps = 2**BITS
        self._counts = np.zeros((num_classes, steps**3), dtype=np.int64)
        self._table: Pixels | None = None

    def fit(self, tiles: Iterable[tuple[Pixels, Pixels]]) -> ColourBaseline:
        """Count the colours of (image, class indices) pairs; 255 does not count."""
        num_classes, bins = self._counts.shape
        for image, labels in tiles:
            valid = labels != NODATA_LABEL
            keys = labels[valid].astype(np.int64) * bins + _bins(image)[valid]
            self._counts += np.bincount(keys, minlength=num_classes * bins).reshape(-1, bins)
        priors = self._counts.sum(axis=1, keepdims=True) / max(1, self._counts.sum())
        smooth = np.stack([_smooth(counts) for counts in self._counts])
        # where no neighbour was seen either, the class's share decides
        self._table = (smooth + 1e-6 * priors).argmax(axis=0).astype(np.uint8)
        return self

    def predict(self, image: Pixels) -> Pixels:
        """(H, W, 3) -> class indices (H, W)."""
        if self._table is None:
            raise RuntimeError("fit it first")
        return self._table[_bins(image)]


def _bins(image: Pixels) -> NDArray[np.int64]:
    """(H, W, 3) -> (H, W) index of the colour's bin."""
    red, green, blue = np.moveaxis(image.astype(np.int64) >> (8 - BITS), -1, 0)
    return red << (2 * BITS) | green << BITS | blue


def _smooth(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Spread every count over its neighbours (1 2 1 in each direction), (bins,)."""
    cube = counts.reshape((2**BITS,) * 3).astype(np.float32)
    kernel = np.array([0.25, 0.5, 0.25])
    for _ in range(3):
        # filter along the second axis of three, then turn the cube
        slices = [cv2.sepFilter2D(part, -1, np.ones(1), kernel) for part in cube]
        cube = np.ascontiguousarray(np.transpose(np.stack(slices), (2, 0, 1)))
    return cube.ravel()
