from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import WktVersion
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rio.main import main_group
from rasterio.rpc import RPC
from rasterio.shutil import copy

from mmrs.geo.georeference import (
    Georeference,
    allow_missing_georeference,
    to_coordinates,
    window_transform,
    with_projection_file,
)
from mmrs.geo.maps.class_map import write_class_map
from mmrs.geo.maps.raster_options import RasterOptions
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window

SHAPE = (300, 270)
UTM = CRS.from_epsg(32633)
GRID = Affine(0.3, 0, 413_520, 0, -0.3, 5_327_940)
SHEARED = Affine(0.1, 0.02, 2_600_000, -0.01, -0.1, 1_200_000)
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2.0, -2.0)
WORLD_FILE = "0.3\n0\n0\n-0.3\n413520.15\n5327939.85\n"  # the middle of the first pixel
NUMBERS = [float(i) / 7 for i in range(20)]
RPCS = RPC(
    height_off=1, height_scale=2, lat_off=3, lat_scale=4, long_off=5, long_scale=6,
    line_off=7, line_scale=8, samp_off=9, samp_scale=10,
    line_den_coeff=NUMBERS, line_num_coeff=NUMBERS,
    samp_den_coeff=NUMBERS, samp_num_coeff=NUMBERS, err_bias=0.5, err_rand=0.25,
)  # fmt: skip
POINTS = tuple(
    GroundControlPoint(row, col, 15 + col / 900, 48 - row / 900, 5.0)
    for row, col in ((0, 0), (0, 270), (300, 0), (300, 270))
)


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)


def geotiff(folder: Path, **options) -> Path:
    path = folder / "scene.tif"
    height, width = SHAPE
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8"}
    with allow_missing_georeference(), rasterio.open(path, "w", **profile, **options) as dataset:
        dataset.write(pixels(), 1)
    return path


def png(folder: Path, **beside: str) -> Path:
    path = folder / "scene.png"
    Image.fromarray(pixels()).save(path)
    for suffix, content in beside.items():
        path.with_suffix(f".{suffix}").write_text(content)
    return path


def converted(folder: Path, driver: str, suffix: str, **options) -> Path:
    path = folder / f"scene{suffix}"
    copy(geotiff(folder, crs=UTM, transform=GRID), path, driver=driver, **options)
    return path


def png_with_aux(folder: Path) -> Path:
    path = folder / "scene.png"
    copy(geotiff(folder, crs=UTM, transform=SHEARED), path, driver="PNG")
    assert Path(f"{path}.aux.xml").is_file()
    return path


def tiff_with_world_file(folder: Path) -> Path:
    path = geotiff(folder)
    path.with_suffix(".tfw").write_text(WORLD_FILE)
    path.with_suffix(".prj").write_text(UTM.to_wkt(version=WktVersion.WKT1_ESRI))
    return path


ON_GRID = Georeference(UTM, GRID)
INPUTS: dict[str, tuple[Callable[[Path], Path], Georeference]] = {
    "GeoTIFF": (lambda folder: geotiff(folder, crs=UTM, transform=GRID), ON_GRID),
    "VRT": (lambda folder: converted(folder, "VRT", ".vrt"), ON_GRID),
    "JPEG 2000": (
        lambda folder: converted(folder, "JP2OpenJPEG", ".jp2", quality=100, reversible=True),
        ON_GRID,
    ),
    "PNG, world file": (lambda folder: png(folder, pgw=WORLD_FILE), Georeference(None, GRID)),
    "PNG, .wld": (lambda folder: png(folder, wld=WORLD_FILE), Georeference(None, GRID)),
    "PNG, world file, .prj": (
        lambda folder: png(folder, pgw=WORLD_FILE, prj=UTM.to_wkt(version=WktVersion.WKT1_ESRI)),
        ON_GRID,
    ),
    "PNG, .aux.xml": (png_with_aux, Georeference(UTM, SHEARED)),
    "TIFF, world file, .prj": (tiff_with_world_file, ON_GRID),
    "rotated": (
        lambda folder: geotiff(folder, crs=UTM, transform=ROTATED),
        Georeference(UTM, ROTATED),
    ),
    "sheared": (
        lambda folder: geotiff(folder, crs="EPSG:2056", transform=SHEARED),
        Georeference(CRS.from_epsg(2056), SHEARED),
    ),
    "control points": (
        lambda folder: geotiff(folder, gcps=POINTS, crs="EPSG:4326"),
        Georeference(gcps=POINTS, gcps_crs=CRS.from_epsg(4326)),
    ),
    "RPCs": (lambda folder: geotiff(folder, rpcs=RPCS), Georeference(rpcs=RPCS)),
    "grid and RPCs": (
        lambda folder: geotiff(folder, crs=UTM, transform=GRID, rpcs=RPCS),
        Georeference(UTM, GRID, rpcs=RPCS),
    ),
    "none": (geotiff, Georeference()),
}


def assert_same(found: Georeference, expected: Georeference) -> None:
    if expected.crs is None:
        assert found.crs is None
    else:
        assert found.crs.to_epsg() == expected.crs.to_epsg()
    if expected.transform is None:
        assert found.transform is None
    else:
        assert tuple(found.transform) == pytest.approx(tuple(expected.transform), rel=1e-12)
    assert [(p.row, p.col, p.x, p.y, p.z) for p in found.gcps] == [
        (p.row, p.col, p.x, p.y, p.z) for p in expected.gcps
    ]
    assert found.gcps_crs == expected.gcps_crs
    if expected.rpcs is None:
        assert found.rpcs is None
    else:
        for name, value in expected.rpcs.to_dict().items():
            assert getattr(found.rpcs, name) == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("name", list(INPUTS))
def test_the_map_lies_where_the_scene_does(tmp_path: Path, name: str, form: str) -> None:
    make, expected = INPUTS[name]
    scene, out = make(tmp_path), tmp_path / "map.tif"
    with rasterio.Env():
        with Raster(scene) as raster:
            np.testing.assert_array_equal(raster.read()[..., 0], pixels())
            assert_same(raster.georeference, expected)
            reference = raster.georeference
        with write_class_map(
            out,
            height=SHAPE[0],
            width=SHAPE[1],
            classes=["a"],
            palette=[(1, 2, 3)],
            georeference=reference,
            options=RasterOptions(format=form),
        ) as writer:
            writer.write_rows(np.zeros(SHAPE, dtype=np.uint8))
        with Raster(out) as raster:
            assert_same(raster.georeference, expected)
    # all of it is in the one file
    assert [path.name for path in tmp_path.glob("map*")] == ["map.tif"]


@pytest.mark.parametrize("form", ["gtiff", "cog"])
def test_a_crs_that_geotiff_has_no_words_for_lies_beside_it(tmp_path: Path, form: str) -> None:
    # a rotated pole, as of weather models
    rotated = "+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=18 +ellps=sphere"
    out, reference = tmp_path / "map.tif", Georeference(CRS.from_string(rotated), GRID)
    options = RasterOptions(format=form)
    with rasterio.Env(), write_class_map(
        out, height=SHAPE[0], width=SHAPE[1], classes=["a"], palette=[(1, 2, 3)],
        georeference=reference, options=options,
    ) as writer:  # fmt: skip
        writer.write_rows(np.zeros(SHAPE, dtype=np.uint8))
    with rasterio.Env(), Raster(out) as raster:
        assert raster.georeference == reference
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.tif", "map.tif.aux.xml"]


@pytest.mark.parametrize("form", ["gtiff", "cog"])
def test_rio_info_says_the_same_of_scene_and_map(tmp_path: Path, form: str) -> None:
    scene, out = geotiff(tmp_path, crs=UTM, transform=ROTATED), tmp_path / "map.tif"
    options, reference = RasterOptions(format=form), Georeference(UTM, ROTATED)
    with write_class_map(out, height=SHAPE[0], width=SHAPE[1], classes=["a"], palette=[(1, 2, 3)],
                         georeference=reference, options=options) as writer:  # fmt: skip
        writer.write_rows(np.zeros(SHAPE, dtype=np.uint8))
    told = []
    for path in (scene, out):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rio's own, of its libraries
            result = CliRunner().invoke(main_group, ["info", str(path)])
        assert result.exit_code == 0, result.output
        told.append(json.loads(result.output))
    for key in ("crs", "transform", "bounds", "shape", "res", "lnglat"):
        assert told[0][key] == told[1][key], key
    assert (told[1]["nodata"], told[1]["colorinterp"]) == (255, ["palette"])


@pytest.mark.parametrize("content", ["", "no WKT", "\0\xff", "x" * 2**17])
def test_a_prj_that_says_nothing_is_passed_over(tmp_path: Path, content: str) -> None:
    path = png(tmp_path, pgw=WORLD_FILE, prj=content)
    with rasterio.Env(), Raster(path) as raster:
        assert raster.georeference == Georeference(None, GRID)


def test_a_prj_adds_nothing_where_there_is_a_crs_or_no_grid(tmp_path: Path) -> None:
    path = png(tmp_path, prj=CRS.from_epsg(4326).to_wkt())
    for reference in (ON_GRID, Georeference()):
        assert with_projection_file(reference, path) == reference
    upper = tmp_path / "B.PNG"
    upper.with_suffix(".PRJ").write_text(UTM.to_wkt(version=WktVersion.WKT1_ESRI))
    assert with_projection_file(Georeference(None, GRID), upper).crs.to_epsg() == 32633


def test_what_is_missing_is_known() -> None:
    for reference in (Georeference(), Georeference(UTM), Georeference(None, GRID)):
        assert reference.is_missing
    for reference in (ON_GRID, Georeference(gcps=POINTS), Georeference(rpcs=RPCS)):
        assert not reference.is_missing
    assert Georeference().gsd is None
    assert ON_GRID.gsd == pytest.approx(0.3)
    assert len(astuple(ON_GRID)) == 5


def test_windows_lie_where_their_pixels_do() -> None:
    window = Window(7, 11, 3, 4)
    moved = window_transform(SHEARED, window)
    x, y = to_coordinates(SHEARED, 11 + 2.5, 7 + 1.5)
    assert to_coordinates(moved, 2.5, 1.5) == pytest.approx((x, y), rel=1e-12)
    assert to_coordinates(GRID, np.array([0, 1]), 0)[0] == pytest.approx([413520, 413520.3])


def test_one_thread_leaving_the_silence_leaves_it_to_the_others() -> None:
    def warn() -> None:
        warnings.warn("no place", NotGeoreferencedWarning, stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = allow_missing_georeference(), allow_missing_georeference()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        warn()  # in the second one's
        second.__exit__(None, None, None)
        with pytest.raises(NotGeoreferencedWarning):
            warn()
