"""Pictures that are to be turned before they are looked at, as their EXIF says.

Viewers, labelling tools and OpenCV turn them, GDAL does not: a label drawn in the one does not lie
on the pixels of the other, and where the sides keep their lengths nothing shows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmrs.apis.checks.data_files import quiet_pillow

_ORIENTATION = 0x0112
_FORMATS = ("JPEG", "PNG", "WEBP")  # which OpenCV turns


def exif_turn(path: str | Path) -> int:
    """EXIF's orientation of a picture, from 1 to 8; 1, which turns nothing, where it has none."""
    try:
        with quiet_pillow(), Image.open(path, formats=_FORMATS) as picture:
            turn = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # its decoders raise what they like: who reads the file tells
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def turned(pixels: NDArray[Any], turn: int) -> NDArray[Any]:
    """(H, W, ...) pixels as they are to be looked at.

    Source: EXIF 2.32, tag 274: what the first row and the first column of the file are.
    """
    if turn >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
        turn = {5: 1, 6: 2, 7: 3, 8: 4}[turn]
    rows = slice(None, None, -1) if turn in (3, 4) else slice(None)
    cols = slice(None, None, -1) if turn in (2, 3) else slice(None)
    return pixels[rows, cols]
