"""Files of a class map's polygons, written as they come and read back before they count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from mmrs.errors import ConfigError, OutputError
from mmrs.geo.polygons.polygon_batch import PolygonBatch
from mmrs.geo.polygons.vector_geojson import GeoJsonWriter
from mmrs.geo.polygons.vector_geopackage import GeoPackageWriter, check_layers, remove_companions
from mmrs.geo.polygons.vector_parquet import GeoParquetWriter, require_pyarrow
from mmrs.geo.polygons.vector_writer import Columns, FeatureWriter

FORMATS: dict[str, Callable[[Path, Path, Any, Columns], FeatureWriter]] = {
    ".gpkg": GeoPackageWriter,
    ".geojson": GeoJsonWriter,
    ".parquet": GeoParquetWriter,
}
# polygons wait until there are so many, or so many points
BATCH_FEATURES, BATCH_POINTS = 10_000, 500_000


class VectorFile:
    """Takes polygons; made by ``vector_file``.

    Attributes:
        features: Polygons taken.
        points: Their points, those that close rings included.
        area_px: Their pixels.
        area_m2: Their area on the ground, where it is known.
    """

    def __init__(
        self,
        writer: FeatureWriter,
        classes: Sequence[str],
        *,
        with_m2: bool,
        with_confidence: bool,
    ) -> None:
        self.features = self.points = self.area_px = 0
        self.area_m2 = 0.0
        self._writer = writer
        self._classes = np.array([*classes], dtype=object)
        self._with_m2, self._with_confidence = with_m2, with_confidence
        self._waiting: list[tuple[NDArray[Any], Columns]] = []
        self._waiting_features = self._waiting_points = 0

    def write(self, batch: PolygonBatch) -> None:
        """Append polygons.

        Raises:
            OutputError: They cannot be written.
        """
        if not len(batch):
            return
        columns = columns_of(
            batch, self._classes, with_m2=self._with_m2, with_confidence=self._with_confidence
        )
        points = int(shapely.get_num_coordinates(batch.polygons).sum())
        self.features += len(batch)
        self.points += points
        self.area_px += int(batch.area_px.sum())
        if batch.area_m2 is not None:
            self.area_m2 += float(batch.area_m2.sum())
        self._waiting.append((batch.polygons, columns))
        self._waiting_features += len(batch)
        self._waiting_points += points
        if self._waiting_features >= BATCH_FEATURES or self._waiting_points >= BATCH_POINTS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        polygons = np.concatenate([polygons for polygons, _ in self._waiting])
        columns = {
            name: np.concatenate([columns[name] for _, columns in self._waiting])
            for name in self._waiting[0][1]
        }
        self._waiting = []
        self._waiting_features = self._waiting_points = 0
        for first in range(0, len(polygons), BATCH_FEATURES):
            part = slice(first, first + BATCH_FEATURES)
            self._writer.write(
                polygons[part], {name: values[part] for name, values in columns.items()}
            )


def columns_of(
    batch: PolygonBatch, classes: NDArray[Any], *, with_m2: bool, with_confidence: bool
) -> dict[str, NDArray[Any]]:
    """Attributes of polygons: class_id, class, area_m2 or area_px, mean_confidence."""
    columns: dict[str, NDArray[Any]] = {
        "class_id": batch.labels.astype(np.int32),
        "class": classes[batch.labels],
    }
    if with_m2:
        columns["area_m2"] = np.asarray(batch.area_m2, dtype=np.float64)
    else:
        columns["area_px"] = batch.area_px
    if with_confidence:
        columns["mean_confidence"] = np.asarray(batch.confidence, dtype=np.float64)
    return columns


@contextmanager
def vector_file(
    temporary: Path,
    target: str | Path,
    *,
    classes: Sequence[str],
    crs: Any = None,
    with_m2: bool,
    with_confidence: bool,
    pixel_m: float = 0.0,
) -> Iterator[VectorFile]:
    """Write polygons to a temporary file, and prove that it holds them when the block ends.

    Args:
        temporary: Where to, as ``mmrs.geo.atomic`` gives it.
        target: What it will be called: ``.gpkg``, ``.geojson`` or ``.parquet``.
        classes: Names, in the order of the indices.
        crs: Of the coordinates, or None.
        with_m2: Polygons tell their area in m², else in pixels.
        with_confidence: Polygons tell their mean confidence.
        pixel_m: Side of the map's pixels in metres, where it is known: how near sides stay to
            where they were in another CRS.

    Yields:
        What takes the polygons.

    Raises:
        OutputError: The file cannot be written, or reads back other than it was written.
        EnvironmentError: GeoParquet is asked for and pyarrow is not installed.
    """
    target = Path(target)
    check_vector_target(target, crs=crs)
    crs = None if crs is None else CRS.from_user_input(crs)
    nothing = PolygonBatch.empty(with_m2=with_m2, with_confidence=with_confidence)
    names = np.array([*classes], dtype=object)
    columns = columns_of(nothing, names, with_m2=with_m2, with_confidence=with_confidence)
    writer = None
    try:
        make = FORMATS[target.suffix.lower()]
        if make is GeoJsonWriter:
            make = partial(GeoJsonWriter, pixel_m=pixel_m)
        writer = make(temporary, target, crs, columns)
        file = VectorFile(writer, classes, with_m2=with_m2, with_confidence=with_confidence)
        yield file
        file.flush()
        writer.close()
        writer.read_back()
        if target.suffix.lower() == ".gpkg":
            remove_companions(target)
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    finally:
        remove_companions(temporary)


def check_vector_target(path: str | Path, *, crs: Any) -> None:
    """Tell before hours of work that polygons cannot be written so.

    Args:
        path: The file to write.
        crs: Of the map, or None.

    Raises:
        OutputError: The suffix names no format, GeoJSON is asked for without a CRS, or a
            GeoPackage of this name holds layers of other kinds.
        EnvironmentError: GeoParquet is asked for and pyarrow is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise OutputError(
            f"polygons are not written to {suffix or 'a file without a suffix'}",
            where=path,
            fix="end its name in .gpkg (GeoPackage), .geojson or .parquet (GeoParquet)",
        )
    if suffix == ".geojson" and crs is None:
        raise OutputError(
            "GeoJSON holds longitude and latitude, and the map has no CRS and grid",
            where=path,
            fix="write .gpkg or .parquet, which can hold pixel coordinates",
        )
    if suffix == ".parquet":
        require_pyarrow(path)
    if suffix == ".gpkg":
        check_layers(path)


def check_classes(classes: Sequence[str]) -> None:
    """Refuse names that cannot be told apart, or that files cannot hold.

    Raises:
        ConfigError: There are none, more than a byte can hold, one occurs twice, or is no text.
    """
    if not 1 <= len(classes) <= 255:
        raise ConfigError(f"{len(classes)} classes", where="classes", fix="name 1 to 255")
    for index, name in enumerate(classes):
        if name in classes[:index]:
            raise ConfigError(
                f"class {name!r} occurs twice", where="classes", fix="give each its own name"
            )
        if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ConfigError(
                f"class {name!r} is no text that a file can hold", where="classes", fix="rename it"
            )
