"""What the demo's scene is painted on: colours and labels together, with shadows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from mmrs.apis.demo.demo_textures import Floats, Vector

SHADE = np.array([0.36, 0.40, 0.48], dtype=np.float32)  # skylight is blue


class Cover(IntEnum):
    """Values of LoveDA's masks."""

    NODATA = 0
    BACKGROUND = 1
    BUILDING = 2
    ROAD = 3
    WATER = 4
    BARREN = 5
    FOREST = 6
    AGRICULTURAL = 7


@dataclass
class Canvas:
    """Colours (H, W, 3) from 0 to 1, labels (H, W), and where the sun stands.

    Attributes:
        colours: RGB before the light and the camera.
        labels: Values of ``Cover``.
        sun: Unit vector (columns, rows) on the ground that points towards the sun.
    """

    colours: Floats
    labels: NDArray[np.uint8]
    sun: Vector

    def paint(self, where: NDArray[np.bool_], colours: Floats, cover: Cover) -> None:
        """Put colours, (H, W, 3), and their label where the mask (H, W) is set."""
        self.colours[where] = colours[where]
        self.labels[where] = cover

    def cast_shadow(self, mask: NDArray[np.bool_], *, length: float) -> None:
        """Darken the ground beside standing things; what casts the shadow must follow on top.

        Args:
            mask: (H, W), the things' outline.
            length: Of the shadow, in pixels.
        """
        shadow = mask.astype(np.uint8)
        for step in range(2, int(length) + 1, 2):
            shift = np.float32([[1, 0, -self.sun[0] * step], [0, 1, -self.sun[1] * step]])
            moved = cv2.warpAffine(mask.astype(np.uint8), shift, mask.shape[::-1], flags=0)
            shadow |= moved
        self.shade(shadow > 0)

    def shade(self, where: NDArray[np.bool_]) -> None:
        """Put the mask (H, W) in the shadow."""
        self.colours[where] *= SHADE
