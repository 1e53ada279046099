"""Class colours: checks, colour tables, and pictures of class maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NODATA_LABEL = 255  # what a class map holds where there is no prediction
MAX_CLASSES = NODATA_LABEL

Colour = tuple[int, int, int]


def check_palette(palette: Sequence[Sequence[int]], num_classes: int) -> list[Colour]:
    """One RGB colour for each class, as tuples.

    Raises:
        ValueError: If there are fewer colours than classes, more classes than a byte can tell
            apart from nodata, or a colour is not three numbers from 0 to 255.
    """
    if not 1 <= num_classes <= MAX_CLASSES:
        raise ValueError(f"the number of classes must be 1 to {MAX_CLASSES}, got {num_classes}")
    if len(palette) < num_classes:
        raise ValueError(f"palette has {len(palette)} colours for {num_classes} classes")
    colours = []
    for index, colour in enumerate(palette[:num_classes]):
        if len(colour) != 3 or not all(0 <= int(value) <= 255 for value in colour):
            raise ValueError(
                f"palette[{index}] must be three numbers from 0 to 255, got {list(colour)}"
            )
        colours.append((int(colour[0]), int(colour[1]), int(colour[2])))
    return colours


def default_palette(num_classes: int) -> list[Colour]:
    """Colours for classes that come without: PASCAL VOC's bit pattern, without its black.

    Source: the colour map of the VOC development kit, shifted by one.
    """
    colours = []
    for label in range(1, num_classes + 1):
        red = green = blue = 0
        for bit in range(8):
            red |= (label >> 3 * bit & 1) << 7 - bit
            green |= (label >> 3 * bit + 1 & 1) << 7 - bit
            blue |= (label >> 3 * bit + 2 & 1) << 7 - bit
        colours.append((red, green, blue))
    return colours


def colour_table(palette: Sequence[Colour]) -> dict[int, tuple[int, int, int, int]]:
    """Palette as GDAL wants it, value -> RGBA; nodata is transparent black."""
    table = {index: (*colour, 255) for index, colour in enumerate(palette)}
    table[NODATA_LABEL] = (0, 0, 0, 0)
    return table


def paint(labels: NDArray[np.uint8], palette: Sequence[Colour]) -> NDArray[np.uint8]:
    """Class map as a picture: (H, W) labels -> (H, W, 3) RGB; labels without a colour are black."""
    lookup = np.zeros((256, 3), dtype=np.uint8)
    lookup[: len(palette)] = palette
    return lookup[labels]
