"""Polygons into a GeoPackage, a table at a time."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS

from mmrs.errors import OutputError
from mmrs.geo.atomic import remove_beside
from mmrs.geo.disk_space import write_error
from mmrs.geo.polygons.vector_writer import (
    GEOMETRY,
    Checksum,
    Columns,
    column_array,
    layer_name,
    to_wkb,
    unreadable,
)

READ_AT_ONCE = 10_000  # features
# what SQLite keeps beside a database: changes that it would put into whatever has its name
COMPANIONS = ("-journal", "-wal", "-shm")


class GeoPackageWriter:
    """GeoPackage, a transaction for each table, with a spatial index.

    Args:
        path: Where to.
        target: What the file will be called, for messages and the name of the layer.
        crs: Of the coordinates, or None.
        empty: The columns, with no rows.

    Raises:
        OutputError: The file cannot be made.
    """

    def __init__(self, path: Path, target: Path, crs: CRS | None, empty: Columns) -> None:
        self._path, self._target, self._crs = path, target, crs
        self._layer = layer_name(target)
        self._checksum = Checksum()
        self._dtypes = {name: values.dtype for name, values in empty.items()}
        self._append(np.empty(0, dtype=object), empty, append=False)

    def write(self, polygons: NDArray[Any], columns: Columns) -> None:
        """See ``FeatureWriter``."""
        wkb = to_wkb(polygons)
        self._checksum.add(list(wkb), columns)
        self._append(wkb, columns, append=True)

    def _append(self, wkb: NDArray[Any], columns: Columns, *, append: bool) -> None:
        try:
            with warnings.catch_warnings():
                # without a CRS the polygons have none either, and whoever asked knows
                warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
                pyogrio.raw.write(
                    self._path,
                    wkb,
                    list(columns.values()),
                    list(columns),
                    layer=self._layer,
                    driver="GPKG",
                    geometry_type="Polygon",
                    crs=None if self._crs is None else self._crs.to_wkt(),
                    append=append,
                )
        except (DataLayerError, DataSourceError, OSError) as error:
            raise write_error(self._target, error) from error

    def close(self) -> None:
        """Every table was complete when it was written."""

    def abandon(self) -> None:
        """Nothing is held open."""

    def read_back(self) -> None:
        """See ``FeatureWriter``."""
        found = Checksum()
        try:
            with closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            ) as db:
                told = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                if told != "ok":
                    raise sqlite3.DatabaseError(told)
                names = [GEOMETRY, *self._dtypes]
                query = f"SELECT {', '.join(map(_quoted, names))} FROM {_quoted(self._layer)}"
                cursor = db.execute(f"{query} ORDER BY fid")
                while rows := cursor.fetchmany(READ_AT_ONCE):
                    wkb, *values = zip(*rows, strict=True)
                    columns = {
                        name: column_array(column, dtype)
                        for (name, dtype), column in zip(self._dtypes.items(), values, strict=True)
                    }
                    found.add([_without_header(blob) for blob in wkb], columns)
                index = _quoted(f"rtree_{self._layer}_{GEOMETRY}")
                indexed = db.execute(f"SELECT count(*) FROM {index}").fetchone()[0]
        except sqlite3.Error as error:
            raise unreadable(self._target, error) from error
        self._checksum.compare(found, self._target)
        if indexed != found.features:
            raise OutputError(
                f"its spatial index holds {indexed} of {found.features} polygons",
                where=self._target,
                fix="free space on the disk",
            )


def check_layers(path: Path) -> None:
    """Refuse to replace a GeoPackage that holds layers of other kinds: they would be lost.

    Raises:
        OutputError: With their names.
    """
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            told = [name for (name,) in db.execute("SELECT table_name FROM gpkg_contents")]
            # QGIS keeps styles of a layer beside it
            others = [n for n in told if n != "layer_styles" and not _holds_classes(db, n)]
    except sqlite3.Error:
        return  # no GeoPackage that could be read
    if others:
        raise OutputError(
            f"holds other layers, which would be lost: {', '.join(others)[:200]}",
            where=path,
            fix="choose another name, or move that file away",
        )


def _holds_classes(db: sqlite3.Connection, layer: str) -> bool:
    columns = {row[1] for row in db.execute(f"PRAGMA table_info({_quoted(layer)})")}
    return {GEOMETRY, "class_id", "class"} <= columns


def remove_companions(path: Path) -> None:
    """Remove what SQLite kept of a database, before another file takes its name.

    Where a program has it open, or died with it open, its changes would be put into the new file.
    """
    remove_beside(path, COMPANIONS)


def _without_header(blob: bytes) -> bytes:
    """Well-known binary of a GeoPackage geometry.

    Source: OGC 12-128r19, 2.1.3: 8 bytes, and an envelope of a size that bits 1 to 3 of the
    flags tell.
    """
    return blob[8 + (0, 32, 48, 48, 64)[blob[3] >> 1 & 7] :]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
