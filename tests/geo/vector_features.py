"""Polygons for tests of vector files, and these files read by other libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import shapely

from mmrs.geo.polygon_batch import PolygonBatch, joined
from mmrs.geo.vectorize import PolygonStream
from tests.geo.class_maps import blobs

CLASSES = ("water", 'é 中 "b"', "c")


def batch_of(seed: int = 0, *, side: int = 24, transform=None, confidence=True) -> PolygonBatch:
    labels = blobs(side, side, 3, seed)
    stream = PolygonStream(side, transform)
    scores = np.random.default_rng(seed).random(labels.shape, dtype=np.float32)
    first = stream.push(labels, scores if confidence else None, row_area_m2=np.linspace(1, 2, side))
    return joined([first, stream.finish()])


def read(path: Path) -> tuple[dict, np.ndarray, dict[str, np.ndarray]]:
    """(meta, polygons, columns) by GDAL, or by pyarrow for GeoParquet."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        columns = {n: np.array(table[n].to_pylist()) for n in table.column_names if n != "geom"}
        wkb = np.array([*table["geom"].to_pylist(), b""], dtype=object)[:-1]
        return {}, shapely.from_wkb(wkb), columns
    meta, _, wkb, values = pyogrio.raw.read(path)
    return meta, shapely.from_wkb(wkb), dict(zip(meta["fields"], values, strict=True))
