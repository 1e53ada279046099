"""From rows to a file: every pixel is accounted for, whatever is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from mmrs.errors import ConfigError, DataError, LabelError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.georeference import Georeference
from mmrs.geo.vector_options import VectorOptions
from mmrs.geo.vectors import check_vectors, vector_output, write_vectors
from tests.geo.class_maps import NODATA, blobs, burn, label_maps, pieces, regions
from tests.geo.vector_features import read

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("a", "b", "c", "d")
UTM = Georeference(CRS.from_epsg(32632), Affine(2, 0, 500_000, 0, -2, 5_000_000))
DEGREES = Georeference(CRS.from_epsg(4326), Affine(1e-5, 0, 15, 0, -2e-5, 60))


def write(path: Path, labels: np.ndarray, *, heights=(7,), reference=None, **options):
    return write_vectors(
        path,
        ((piece, None) for piece in pieces(labels, heights)),
        height=labels.shape[0],
        width=labels.shape[1],
        classes=CLASSES,
        georeference=reference,
        options=VectorOptions(**options),
    )


@given(
    label_maps(25),
    st.sampled_from([0, 3, 20]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from(["merge", "drop"]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_pixel_is_accounted_for(tmp_path, labels, least, tolerance, small) -> None:
    path = tmp_path / "map.parquet"
    report = write(path, labels, min_area_px=least, simplify_px=tolerance, small=small)
    _, polygons, columns = read(path)
    assert columns["area_px"].sum() == report.area_px and len(polygons) == report.features
    assert report.nodata_px == (labels == NODATA).sum()
    assert report.area_px + report.nodata_px + report.dropped_px == labels.size
    assert not len(polygons) or columns["area_px"].min() >= least
    if not tolerance:
        burnt = burn(polygons, columns["class_id"], labels.shape)
        assert (burnt != labels).sum() == report.moved_px + report.dropped_px
    assert small == "merge" or report.moved_px == 0


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet"])
def test_polygons_lie_where_the_map_lies(tmp_path: Path, suffix: str) -> None:
    labels = blobs(20, 30, 3, 0)
    path = tmp_path / f"map{suffix}"
    report = write(path, labels, reference=DEGREES)
    meta, polygons, columns = read(path)
    assert suffix == ".parquet" or meta["crs"] == "EPSG:4326"
    back = shapely.transform(polygons, lambda p: (p - [15, 60]) / [1e-5, -2e-5])
    np.testing.assert_array_equal(burn(back, columns["class_id"], labels.shape), labels)
    # 1e-5 x 2e-5 degrees at 60 degrees north: 0.5580 m by 2.2282 m
    assert columns["area_m2"].sum() == pytest.approx(report.area_m2)
    assert report.area_m2 == pytest.approx(report.area_px * 0.5580 * 2.2282, rel=1e-3)


def test_minimum_and_tolerance_in_metres_are_those_in_pixels(tmp_path: Path) -> None:
    labels = blobs(60, 60, 3, 3)
    for name, options in (
        ("metres.gpkg", {"min_area_m2": 40.0, "simplify_m": 3.0}),
        ("pixels.gpkg", {"min_area_px": 10, "simplify_px": 1.5}),
    ):
        write(tmp_path / name, labels, reference=UTM, **options)
    (_, one, first), (_, other, second) = (
        read(tmp_path / n) for n in ("metres.gpkg", "pixels.gpkg")
    )
    assert shapely.equals(one, other).all()
    np.testing.assert_array_equal(first["area_m2"], second["area_m2"])
    assert first["area_m2"].min() >= 40


def test_simpler_borders_move_by_no_more_metres_than_told(tmp_path: Path) -> None:
    # pixels of half a metre by two: the tolerance holds along the longer side
    labels = np.tril(np.ones((40, 40), dtype=np.uint8))
    write(tmp_path / "exact.parquet", labels, reference=DEGREES)
    write(tmp_path / "simple.parquet", labels, reference=DEGREES, simplify_m=2.3)
    (_, exact, _), (_, simple, _) = (read(tmp_path / f"{n}.parquet") for n in ("exact", "simple"))
    metres = np.array([0.5580, 2.2282]) / [1e-5, 2e-5]
    for one, other in zip(exact, simple, strict=True):
        line = shapely.transform(other.exterior, lambda p: p * metres)
        points = shapely.points(np.array(one.exterior.coords) * metres)
        assert 0.3 < shapely.distance(points, line).max() <= 2.3
    assert shapely.get_num_coordinates(simple).sum() < shapely.get_num_coordinates(exact).sum() / 4


ROTATED = Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(0.3, -0.3)


@pytest.mark.parametrize(
    ("suffix", "transform"),
    [(".geojson", UTM.transform), (".gpkg", ROTATED), (".gpkg", UTM.transform)],
)
def test_neighbours_meet_without_gaps_in_the_coordinates_of_the_file(
    tmp_path: Path, suffix: str, transform: Affine
) -> None:
    labels = blobs(25, 25, 3, 6)
    labels[labels == NODATA] = 3
    path = tmp_path / f"map{suffix}"
    write(path, labels, reference=Georeference(UTM.crs, transform))
    polygons = read(path)[1]
    shared = suffix == ".geojson" or transform is ROTATED
    assert shapely.coverage_is_valid(polygons) == shared
    assert shapely.union_all(polygons).geom_type == "Polygon"
    if shared:
        whole = shapely.coverage_union_all(polygons)
        assert whole.geom_type == "Polygon" and not whole.interiors


def test_confidence_goes_along(tmp_path: Path) -> None:
    labels = blobs(20, 20, 3, 1)
    scores = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    scores[labels == NODATA] = np.nan
    rows = ((labels[r : r + 6], scores[r : r + 6]) for r in range(0, 20, 6))
    path = tmp_path / "map.parquet"
    write_vectors(
        path, rows, height=20, width=20, classes=CLASSES, options=VectorOptions(simplify_px=1)
    )
    numbers, count = regions(labels)
    expected = sorted(scores[numbers == n].mean(dtype=np.float64) for n in range(1, count + 1))
    np.testing.assert_allclose(sorted(read(path)[2]["mean_confidence"]), expected, rtol=1e-12)


def test_control_points_alone_leave_pixels(tmp_path: Path) -> None:
    points = Georeference(gcps=(GroundControlPoint(0, 0, 5, 6),), gcps_crs=CRS.from_epsg(4326))
    labels = blobs(10, 10, 2, 1)
    report = write(tmp_path / "map.gpkg", labels, reference=points)
    meta, polygons, columns = read(tmp_path / "map.gpkg")
    assert meta["crs"] is None and "area_px" in columns and report.area_m2 is None
    np.testing.assert_array_equal(burn(polygons, columns["class_id"], labels.shape), labels)


def test_pushed_rows_are_what_write_vectors_takes(tmp_path: Path) -> None:
    labels = blobs(20, 20, 3, 1)
    path = tmp_path / "pushed.gpkg"
    with (
        atomic_path(path) as temporary,
        vector_output(temporary, path, height=20, width=20, classes=CLASSES) as output,
    ):
        for piece in pieces(labels, (3,)):
            output.push(piece, None)
    report = write(tmp_path / "map.gpkg", labels)
    assert output.report.features == report.features
    assert shapely.equals(read(path)[1], read(tmp_path / "map.gpkg")[1]).all()


def test_rows_that_are_missing_publish_nothing(tmp_path: Path) -> None:
    path = tmp_path / "map.gpkg"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"map\.gpkg: only 4 of 5 rows were written"):
        write_vectors(
            path, [(np.zeros((4, 3), np.uint8), None)], height=5, width=3, classes=CLASSES
        )
    with pytest.raises(ValueError, match="row 6 of a map of 5"):
        write_vectors(
            path, [(np.zeros((6, 3), np.uint8), None)], height=5, width=3, classes=CLASSES
        )
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["map.gpkg"]


def test_a_label_without_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"map\.gpkg: label 4 occurs, but there are 4 classes"):
        write(tmp_path / "map.gpkg", np.full((3, 3), 4, dtype=np.uint8))
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
        "from mmrs.geo.vectors import write_vectors\n"
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
