"""Polygons into GeoParquet, a row group at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from mmrs.errors import EnvironmentError
from mmrs.geo.disk_space import write_error
from mmrs.geo.polygons.vector_writer import (
    GEOMETRY,
    Checksum,
    Columns,
    column_array,
    to_wkb,
    unreadable,
)


class GeoParquetWriter:
    """GeoParquet 1.1: a row group for each table, polygons as well-known binary.

    Args:
        path: Where to.
        target: What the file will be called, for messages.
        crs: Of the coordinates, or None.
        empty: The columns, with no rows.

    Raises:
        EnvironmentError: pyarrow is not installed.
        OutputError: The file cannot be made.

    Source: GeoParquet specification 1.1.0.
    """

    def __init__(self, path: Path, target: Path, crs: CRS | None, empty: Columns) -> None:
        self._arrow, self._parquet = require_pyarrow(target)
        self._path, self._target, self._crs = path, target, crs
        self._checksum = Checksum()
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._schema = self._table(np.empty(0, dtype=object), empty).schema
        try:
            self._writer = self._parquet.ParquetWriter(path, self._schema, compression="zstd")
        except OSError as error:
            raise write_error(target, error) from error

    def _table(self, wkb: NDArray[Any], columns: Columns) -> Any:
        arrow = self._arrow
        arrays = {name: arrow.array(values, from_pandas=True) for name, values in columns.items()}
        for name, values in columns.items():
            if values.dtype == object:
                arrays[name] = arrow.array(values.tolist(), type=arrow.string())
        geometry = arrow.array(wkb.tolist(), type=arrow.binary())
        return arrow.table({**arrays, GEOMETRY: geometry})

    def write(self, polygons: NDArray[Any], columns: Columns) -> None:
        """See ``FeatureWriter``."""
        wkb = to_wkb(polygons)
        self._checksum.add(list(wkb), columns)
        low, high = self._bounds[:2], self._bounds[2:]
        bounds = shapely.total_bounds(polygons)
        self._bounds = np.concatenate([np.minimum(low, bounds[:2]), np.maximum(high, bounds[2:])])
        try:
            self._writer.write_table(self._table(wkb, columns))
        except OSError as error:
            raise write_error(self._target, error) from error

    def close(self) -> None:
        """Write the metadata and close the file."""
        if not self._writer.is_open:
            return
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None if self._crs is None else self._crs.to_dict(projjson=True),
            "edges": "planar",
            "orientation": "counterclockwise",
        }
        if self._checksum.features:
            column["bbox"] = self._bounds.tolist()
        told = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
        try:
            self._writer.add_key_value_metadata({"geo": json.dumps(told)})
            self._writer.close()
        except OSError as error:
            raise write_error(self._target, error) from error

    def abandon(self) -> None:
        """See ``FeatureWriter``."""
        with suppress(OSError, self._arrow.ArrowException):
            self._writer.close()

    def read_back(self) -> None:
        """See ``FeatureWriter``."""
        found = Checksum()
        try:
            for table in self._row_groups():
                wkb = table.column(GEOMETRY).to_pylist()
                columns = {}
                for name in table.column_names:
                    values = table.column(name)
                    if name == GEOMETRY:
                        continue
                    if values.type == self._arrow.string():
                        columns[name] = np.array(values.to_pylist(), dtype=object)
                    else:
                        columns[name] = column_array(
                            values.to_pylist(), values.type.to_pandas_dtype()
                        )
                found.add(wkb, columns)
        except (OSError, self._arrow.ArrowException) as error:
            raise unreadable(self._target, error) from error
        self._checksum.compare(found, self._target)

    def _row_groups(self) -> Iterator[Any]:
        with self._parquet.ParquetFile(self._path) as file:
            for index in range(file.num_row_groups):
                yield file.read_row_group(index)


def require_pyarrow(target: Path) -> tuple[Any, Any]:
    """Pyarrow and its Parquet part.

    Raises:
        EnvironmentError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EnvironmentError(
            "GeoParquet needs pyarrow, which is not installed",
            where=target,
            fix="pip install pyarrow, or write a GeoPackage (.gpkg)",
        ) from error
    return pyarrow, pyarrow.parquet
