"""Label ids <-> label colours, exactly: a colour that no class has is counted, never guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]


class PaletteCodec:
    """Two-way table between ids and RGB colours.

    Args:
        colours: id -> colours, the first of which the id is painted with; a class may have more
            than one, two classes never the same. Ids are 0 to 254.
        unknown_id: What pixels of any other colour become.
        tolerance: Largest difference, in each of the three channels, to count as a class's
            colour. It must be less than half the difference of the closest two colours, so that
            no colour could be taken for either.

    Raises:
        ValueError: A number is out of range, two classes share a colour, or the tolerance cannot
            tell two classes apart.
    """

    def __init__(
        self,
        colours: Mapping[int, Sequence[Rgb]],
        *,
        unknown_id: int = 255,
        tolerance: int = 0,
    ) -> None:
        if not colours:
            raise ValueError("colours must name at least one id")
        if not 0 <= unknown_id <= 255:
            raise ValueError(f"unknown_id must be 0 to 255, got {unknown_id}")
        if not 0 <= tolerance <= 127:
            raise ValueError(f"tolerance must be 0 to 127, got {tolerance}")
        self.colours = {label: tuple(map(_check_colour, own)) for label, own in colours.items()}
        for label, own in self.colours.items():
            if not 0 <= label <= 254:
                raise ValueError(f"ids must be 0 to 254, got {label}")
            if not own:
                raise ValueError(f"id {label} has no colour")
        self.unknown_id = unknown_id
        self.tolerance = tolerance
        self._check_distances()

    @property
    def max_tolerance(self) -> int:
        """The largest tolerance that tells all classes apart."""
        closest = min((gap for gap, _, _ in self._gaps()), default=255)
        return min((closest - 1) // 2, 127)

    def encode(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Colours of ids: (H, W) -> (H, W, 3) uint8.

        Raises:
            ValueError: An id has no colour.
        """
        table = np.zeros((256, 3), dtype=np.uint8)
        for label, own in self.colours.items():
            table[label] = own[0]
        strange = set(np.unique(labels).tolist()) - set(self.colours)
        if strange:
            raise ValueError(f"ids without a colour: {sorted(strange)}")
        return table[labels]

    def decode(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Ids of colours.

        Args:
            rgb: (..., 3) uint8.

        Returns:
            (...) uint8 ids, ``unknown_id`` where no class has the colour; and (...) bool, True
            at those pixels.
        """
        # The packed value indexes a table of all 2^24 colours: no two colours can collide.
        packed = rgb[..., 0].astype(np.uint32)
        for channel in (1, 2):
            packed <<= 8
            packed |= rgb[..., channel]
        labels = self._table[packed]
        unknown = labels == 255
        if self.unknown_id != 255:
            labels[unknown] = self.unknown_id
        return labels, unknown

    def needed_tolerance(self, colour: Rgb) -> int:
        """Tolerance at which a colour would belong to its nearest class."""
        return min(
            max(abs(a - b) for a, b in zip(colour, own, strict=True))
            for several in self.colours.values()
            for own in several
        )

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        """(2^24,) id of every colour; 255 is none."""
        cube = np.full((256, 256, 256), 255, dtype=np.uint8)
        for label, several in self.colours.items():
            for own in several:
                near = tuple(
                    slice(max(0, value - self.tolerance), value + self.tolerance + 1)
                    for value in own
                )
                cube[near] = label
        return cube.reshape(-1)

    def _gaps(self) -> list[tuple[int, int, int]]:
        """(difference, id, id) of the colours of any two classes."""
        flat = [(label, own) for label, several in self.colours.items() for own in several]
        return [
            (max(abs(a - b) for a, b in zip(first, second, strict=True)), one, other)
            for index, (one, first) in enumerate(flat)
            for other, second in flat[index + 1 :]
            if one != other
        ]

    def _check_distances(self) -> None:
        for gap, one, other in self._gaps():
            if gap == 0:
                raise ValueError(f"ids {one} and {other} have the same colour")
            if 2 * self.tolerance >= gap:
                raise ValueError(
                    f"tolerance must be <= {self.max_tolerance} to tell ids {one} and {other} "
                    f"apart, got {self.tolerance}"
                )


def count_colours(rgb: NDArray[np.uint8], where: NDArray[np.bool_] | None = None) -> Counter[Rgb]:
    """How many pixels have each colour.

    Args:
        rgb: (..., 3) uint8.
        where: (...) bool, the pixels to count; all by default.
    """
    flat = rgb.reshape(-1, 3) if where is None else rgb[where]
    packed = flat.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    values, counts = np.unique(packed, return_counts=True)
    return Counter(
        {
            (value >> 16, value >> 8 & 255, value & 255): count
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        }
    )


def _check_colour(colour: Sequence[int]) -> Rgb:
    if len(colour) != 3 or not all(0 <= int(value) <= 255 for value in colour):
        raise ValueError(f"a colour is three numbers from 0 to 255, got {list(colour)}")
    return (int(colour[0]), int(colour[1]), int(colour[2]))
