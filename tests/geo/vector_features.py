"""Polygons for tests of vector files, and these files read by other libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import shapely
from affine import Affine
from rasterio.crs import CRS

from mmrs.geo.georeference import Georeference
from mmrs.geo.polygons.polygon_batch import PolygonBatch, joined
from mmrs.geo.polygons.vector_options import VectorOptions
from mmrs.geo.polygons.vectorize import PolygonStream
from mmrs.geo.polygons.vectors import write_vectors
from tests.geo.class_maps import blobs, pieces

MAP_CLASSES = ("a", "b", "c", "d")
UTM = Georeference(CRS.from_epsg(32632), Affine(2, 0, 500_000, 0, -2, 5_000_000))
DEGREES = Georeference(CRS.from_epsg(4326), Affine(1e-5, 0, 15, 0, -2e-5, 60))
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


def write_map(path: Path, labels: np.ndarray, *, heights=(7,), reference=None, **options):
    """Write the polygons of a map whose rows come in pieces; returns the report."""
    return write_vectors(
        path,
        ((piece, None) for piece in pieces(labels, heights)),
        height=labels.shape[0],
        width=labels.shape[1],
        classes=MAP_CLASSES,
        georeference=reference,
        options=VectorOptions(**options),
    )
