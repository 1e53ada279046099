"""What the writers of polygons share: their protocol, checksums of features, names."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from mmrs.errors import OutputError

Columns = Mapping[str, NDArray[Any]]

GEOMETRY = "geom"  # the column's name
_NOT_FIRST = set("`~!@#$%^&*()+-={}|[]\\:\";'<>?,./")  # of a GeoPackage's layer, by GDAL
FIX_SPACE = "free space on the disk"


class FeatureWriter(Protocol):
    """Takes polygons with attributes."""

    def write(self, polygons: NDArray[Any], columns: Columns) -> None:
        """Append features: Shapely polygons (P,), and attributes of the same length."""

    def close(self) -> None:
        """Complete the file."""

    def abandon(self) -> None:
        """Let go of a file that will not be completed; raises nothing."""

    def read_back(self) -> None:
        """Compare the file with what was written.

        Raises:
            OutputError: They differ.
        """


class Checksum:
    """Of features, in their order, whatever the pieces that they come in."""

    def __init__(self) -> None:
        self.features = 0
        self._values: dict[str, int] = {}

    def add(self, wkb: Sequence[bytes], columns: Columns) -> None:
        """Go on with features: polygons as well-known binary, and their attributes."""
        self.features += len(wkb)
        self._go_on(GEOMETRY, b"".join(wkb))
        for name, values in columns.items():
            if values.dtype == object:
                data = "\0".join([*values, ""]).encode()
            else:
                data = np.ascontiguousarray(values).tobytes()
            self._go_on(name, data)

    def _go_on(self, name: str, data: bytes) -> None:
        self._values[name] = zlib.crc32(data, self._values.get(name, 0))

    def compare(self, other: Checksum, target: Path) -> None:
        """Raise where the other one is of other features.

        Raises:
            OutputError: With what differs.
        """
        if self.features != other.features:
            what = f"reads back with {other.features} of {self.features} polygons"
            raise OutputError(what, where=target, fix=FIX_SPACE)
        wrong = [name for name, value in self._values.items() if other._values.get(name) != value]
        if self.features and wrong:
            raise OutputError(
                f"reads back with other values of {wrong[0]}",
                where=target,
                fix=FIX_SPACE,
            )


def layer_name(target: Path) -> str:
    """What a file's layer is called: the file's stem, or near it where that is not allowed."""
    stem = target.stem
    reserved = stem.lower().startswith(("gpkg_", "rtree_", "sqlite_"))
    return f"map_{stem}" if reserved or stem[:1] in _NOT_FIRST else stem


def to_wkb(polygons: NDArray[Any]) -> NDArray[Any]:
    """Polygons as well-known binary, (P,) bytes, little-endian."""
    return np.asarray(shapely.to_wkb(polygons, flavor="iso", byte_order=1), dtype=object)


def column_array(values: Sequence[Any], dtype: Any) -> NDArray[Any]:
    """A column as it was written; what is missing was NaN."""
    if np.dtype(dtype).kind == "f":
        values = [np.nan if value is None else value for value in values]
    return np.array(values, dtype=dtype)


def unreadable(target: Path, error: BaseException) -> OutputError:
    """What to raise where a file cannot be read back."""
    return OutputError(f"cannot be read back ({error})", where=target, fix=FIX_SPACE)
