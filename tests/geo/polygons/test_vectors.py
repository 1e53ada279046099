"""From rows to a file that appears whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from mmrs.errors import ConfigError, DataError, LabelError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.georeference import Georeference
from mmrs.geo.polygons.vector_options import VectorOptions
from mmrs.geo.polygons.vectors import check_vectors, vector_output, write_vectors
from tests.geo.class_maps import NODATA, blobs, burn, pieces, regions
from tests.geo.vector_features import MAP_CLASSES, UTM, read, write_map

ROOT = Path(__file__).resolve().parents[3]


def test_confidence_goes_along(tmp_path: Path) -> None:
    labels = blobs(20, 20, 3, 1)
    scores = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    scores[labels == NODATA] = np.nan
    rows = ((labels[r : r + 6], scores[r : r + 6]) for r in range(0, 20, 6))
    path = tmp_path / "map.parquet"
    write_vectors(
        path, rows, height=20, width=20, classes=MAP_CLASSES, options=VectorOptions(simplify_px=1)
    )
    numbers, count = regions(labels)
    expected = sorted(scores[numbers == n].mean(dtype=np.float64) for n in range(1, count + 1))
    np.testing.assert_allclose(sorted(read(path)[2]["mean_confidence"]), expected, rtol=1e-12)


def test_control_points_alone_leave_pixels(tmp_path: Path) -> None:
    points = Georeference(gcps=(GroundControlPoint(0, 0, 5, 6),), gcps_crs=CRS.from_epsg(4326))
    labels = blobs(10, 10, 2, 1)
    report = write_map(tmp_path / "map.gpkg", labels, reference=points)
    meta, polygons, columns = read(tmp_path / "map.gpkg")
    assert meta["crs"] is None and "area_px" in columns and report.area_m2 is None
    np.testing.assert_array_equal(burn(polygons, columns["class_id"], labels.shape), labels)


def test_pushed_rows_are_what_write_vectors_takes(tmp_path: Path) -> None:
    labels = blobs(20, 20, 3, 1)
    path = tmp_path / "pushed.gpkg"
    with (
        atomic_path(path) as temporary,
        vector_output(temporary, path, height=20, width=20, classes=MAP_CLASSES) as output,
    ):
        for piece in pieces(labels, (3,)):
            output.push(piece, None)
    report = write_map(tmp_path / "map.gpkg", labels)
    assert output.report.features == report.features
    assert shapely.equals(read(path)[1], read(tmp_path / "map.gpkg")[1]).all()


def test_rows_that_are_missing_publish_nothing(tmp_path: Path) -> None:
    path = tmp_path / "map.gpkg"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"map\.gpkg: only 4 of 5 rows were written"):
        write_vectors(
            path, [(np.zeros((4, 3), np.uint8), None)], height=5, width=3, classes=MAP_CLASSES
        )
    with pytest.raises(ValueError, match="row 6 of a map of 5"):
        write_vectors(
            path, [(np.zeros((6, 3), np.uint8), None)], height=5, width=3, classes=MAP_CLASSES
        )
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["map.gpkg"]


def test_a_label_without_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"map\.gpkg: label 4 occurs, but there are 4 classes"):
        write_map(tmp_path / "map.gpkg", np.full((3, 3), 4, dtype=np.uint8))
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_done_is_told_before(tmp_path: Path) -> None:
    size = {"height": 4, "width": 4}
    plain = VectorOptions()
    with pytest.raises(ConfigError, match=r"known size. Fix: use min_area_px and simplify_px"):
        check_vectors(
            "a.gpkg", **size, georeference=Georeference(), options=VectorOptions(simplify_m=1)
        )
    with pytest.raises(OutputError, match="GeoJSON holds longitude"):
        check_vectors("a.geojson", **size, georeference=Georeference(), options=plain)
    line = Georeference(CRS.from_epsg(32632), Affine(1, 1, 0, 1, 1, 0))
    with pytest.raises(DataError, match="degenerate"):
        check_vectors("a.gpkg", **size, georeference=line, options=plain)
    assert check_vectors("a.gpkg", **size, georeference=UTM, options=plain).middle_m2 == 4


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    """Files may not grow beyond a limit: as on a full disk, from one of several bytes on."""
    code = (
        "import resource, sys, numpy as np\n"
        "from mmrs.errors import OutputError\n"
        "from mmrs.geo.polygons.vectors import write_vectors\n"
        "labels = np.random.default_rng(0).integers(0, 4, (60, 60), dtype=np.uint8)\n"
        "told = []\n"
        "for limit in map(int, sys.argv[2:]):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        write_vectors(sys.argv[1], [(labels, None)], height=60, width=60,\n"
        "                      classes='abcd', georeference=reference)\n"
        "    except OutputError as error:\n"
        "        told.append(str(error))\n"
        "print(len(told), all('Fix:' in line and sys.argv[1] in line for line in told))\n"
    )
    place = (
        "from affine import Affine\nfrom rasterio.crs import CRS\n"
        "from mmrs.geo.georeference import Georeference\n"
        "reference = Georeference(CRS.from_epsg(32632), Affine(2, 0, 5e5, 0, -2, 5e6))\n"
    )
    path = tmp_path / f"map{suffix}"
    path.write_text("old")
    # GeoParquet is compressed
    limits = ("0", "2000", "8000") if suffix == ".parquet" else ("0", "5000", "60000", "150000")
    done = subprocess.run(
        [sys.executable, "-c", place + code, str(path), *limits],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.split() == [str(len(limits)), "True"], done.stderr
    assert path.read_text() == "old" and os.listdir(tmp_path) == [path.name]
