from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from mmrs.errors import OutputError
from mmrs.geo.maps.class_map import write_class_map
from mmrs.geo.maps.raster_output import RasterOptions
from mmrs.geo.raster import Georeference, Raster, allow_missing_georeference

CLASSES = ("water", "é 中")
PALETTE = [(0, 0, 255), (10, 20, 30)]
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2.0, -2.0)


def write(path: Path, labels: np.ndarray, *, step: int = 7, **options) -> None:
    height, width = labels.shape
    with write_class_map(
        path, height=height, width=width, classes=CLASSES, palette=PALETTE, **options
    ) as writer:
        for row in range(0, height, step):
            writer.write_rows(labels[row : row + step])


def random_labels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).choice(np.array([0, 1, 255], dtype=np.uint8), (height, width))


@pytest.mark.parametrize("shape", [(1, 1), (40, 30), (256, 256), (300, 257), (530, 20)])
@pytest.mark.parametrize("step", [1, 100, 256, 1000])
def test_labels_come_back_whatever_the_pieces(
    tmp_path: Path, shape: tuple[int, int], step: int
) -> None:
    labels = random_labels(*shape)
    write(tmp_path / "map.tif", labels, step=step)
    with allow_missing_georeference(), rasterio.open(tmp_path / "map.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), labels)


def test_the_file_is_tiled_deflated_coloured_and_named(tmp_path: Path) -> None:
    write(tmp_path / "map.tif", random_labels(300, 300))
    with allow_missing_georeference(), rasterio.open(tmp_path / "map.tif") as dataset:
        profile = dataset.profile
        assert (profile["tiled"], profile["compress"]) == (True, "deflate")
        assert (profile["nodata"], profile["dtype"], profile["count"]) == (255, "uint8", 1)
        assert dataset.colorinterp == (ColorInterp.palette,)
        colours = dataset.colormap(1)
        assert [colours[i] for i in (0, 1, 255)] == [(0, 0, 255, 255), (10, 20, 30, 255), (0,) * 4]
        assert json.loads(dataset.tags()["CLASS_NAMES"]) == list(CLASSES)
    assert os.listdir(tmp_path) == ["map.tif"]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", Affine(0.3, 0, 413_520, 0, -0.3, 5_327_940)),
        ("EPSG:4326", Affine(1e-5, 0, 15.1, 0, -1e-5, 48.2)),
        ("EPSG:3857", Affine(10, 0, 1e6, 0, -10, 6e6)),
        ("EPSG:32632", ROTATED),
        ("EPSG:2056", Affine(0.1, 0.02, 2_600_000, -0.01, -0.1, 1_200_000)),
        (None, Affine(0.5, 0, 100, 0, -0.5, 200)),
    ],
)
def test_the_grid_of_the_scene_is_the_maps(tmp_path: Path, crs, transform: Affine) -> None:
    reference = Georeference(None if crs is None else CRS.from_user_input(crs), transform)
    write(tmp_path / "map.tif", random_labels(20, 20), georeference=reference)
    with Raster(tmp_path / "map.tif") as raster:
        assert raster.georeference.crs == reference.crs
        assert raster.georeference.transform.almost_equals(transform, 1e-12)


def test_control_points_and_rpcs_are_kept(tmp_path: Path) -> None:
    points = tuple(GroundControlPoint(r, c, c / 9, r / 9, 5.0) for r, c in ((0, 0), (0, 9), (9, 0)))
    numbers = [float(i) / 7 for i in range(20)]
    rpcs = RPC(
        height_off=1, height_scale=2, lat_off=3, lat_scale=4, long_off=5, long_scale=6,
        line_off=7, line_scale=8, samp_off=9, samp_scale=10,
        line_den_coeff=numbers, line_num_coeff=numbers,
        samp_den_coeff=numbers, samp_num_coeff=numbers,
    )  # fmt: skip
    reference = Georeference(gcps=points, gcps_crs=CRS.from_epsg(4326), rpcs=rpcs)
    write(tmp_path / "map.tif", random_labels(10, 10), georeference=reference)
    with Raster(tmp_path / "map.tif") as raster:
        found = raster.georeference
    assert [(p.row, p.col, p.x, p.y, p.z) for p in found.gcps] == [
        (p.row, p.col, p.x, p.y, p.z) for p in points
    ]
    assert found.gcps_crs == reference.gcps_crs
    assert found.rpcs.line_num_coeff == pytest.approx(numbers)
    assert found.rpcs.samp_scale == 10


def test_without_a_georeference_there_is_none_and_no_warning(tmp_path: Path) -> None:
    write(tmp_path / "map.tif", random_labels(10, 10))
    with Raster(tmp_path / "map.tif") as raster:
        assert raster.georeference == Georeference()


def test_an_error_half_way_leaves_the_old_map(tmp_path: Path) -> None:
    path, labels = tmp_path / "map.tif", random_labels(300, 20)
    write(path, labels)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="boom"):
        with write_class_map(
            path, height=600, width=20, classes=CLASSES, palette=PALETTE
        ) as writer:
            writer.write_rows(labels)
            raise RuntimeError("boom")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["map.tif"]


def test_missing_rows_are_an_error_and_publish_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"map\.tif: only 5 of 10 rows were written"):
        with write_class_map(
            tmp_path / "map.tif", height=10, width=4, classes=CLASSES, palette=PALETTE
        ) as writer:
            writer.write_rows(np.zeros((5, 4), dtype=np.uint8))
    assert os.listdir(tmp_path) == []


def zero_one_tile(path: Path) -> None:
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.zeros((256, 256), dtype=np.uint8), 1, window=((0, 256), (0, 256)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [(zero_one_tile, "reads back other than it was written"), (cut, "cannot be read back")],
)
def test_a_map_that_is_not_what_was_written_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage, message: str
) -> None:
    # what a full disk does: the write succeeds, and the tile is not there
    def close_and_damage(dataset) -> None:
        dataset.close()
        damage(next(tmp_path.glob(".*part.tif")))

    path = tmp_path / "map.tif"
    path.write_text("old")
    monkeypatch.setattr("mmrs.geo.maps.raster_output._close", close_and_damage)
    with allow_missing_georeference(), rasterio.Env(), pytest.raises(OutputError, match=message):
        write(path, random_labels(512, 512), options=RasterOptions(overviews="none"))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["map.tif"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 5), dtype=np.uint8), r"labels must be \(n, 4\) uint8, got \(2, 5\) uint8"),
        (np.zeros((2, 4), dtype=np.int64), r"got \(2, 4\) int64"),
        (np.zeros((11, 4), dtype=np.uint8), "row 11 of a map of 10"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with write_class_map(
            tmp_path / "map.tif", height=10, width=4, classes=CLASSES, palette=PALETTE
        ) as writer:
            writer.write_rows(labels)


def test_the_place_that_gdal_kept_of_an_old_map_is_not_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    Path(f"{path}.aux.xml").write_text(
        "<PAMDataset><GeoTransform>1, 2, 0, 3, 0, -2</GeoTransform></PAMDataset>"
    )
    write(path, random_labels(10, 10), georeference=Georeference(CRS.from_epsg(32633), ROTATED))
    with Raster(path) as raster:
        assert raster.georeference.transform.almost_equals(ROTATED, 1e-9)


def test_names_that_are_no_geotiff_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"map\.png: a class map is a GeoTIFF"):
        write(tmp_path / "map.png", random_labels(2, 2))
