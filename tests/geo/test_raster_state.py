"""What a resume takes for the same raster, and what not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from mmrs.geo.georeference import allow_missing_georeference
from mmrs.geo.raster import Raster
from mmrs.geo.raster_state import raster_state
from tests.fake_data import make_geotiff

VRT = """<VRTDataset rasterXSize="9" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="1">{source}</SourceFilename>
<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_geotiff(tmp_path / "a.tif", size_px=(8, 9))
    (tmp_path / "v.vrt").write_text(VRT.format(source="a.tif", band=1))
    (tmp_path / "w.vrt").write_text(VRT.format(source="v.vrt", band=1))
    return tmp_path


def state(path: Path, *, overviews: bool = False) -> dict:
    with Raster(path) as raster:
        return raster_state(raster, overviews=overviews)


def keep_time(path: Path, change: Callable[[], object]) -> None:
    """Change something beside a file, and let the file look as it did."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_mask(path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        mask = np.full(dataset.shape, 255, np.uint8)
        mask[:2] = 0
        dataset.write_mask(mask)


def write_nodata(path: Path) -> None:
    Path(f"{path}.aux.xml").write_text(
        "<PAMDataset>"
        + "".join(
            f'<PAMRasterBand band="{band}"><NoDataValue>7</NoDataValue></PAMRasterBand>'
            for band in (1, 2, 3)
        )
        + "</PAMDataset>"
    )


@pytest.mark.parametrize("change", [write_mask, write_nodata])
def test_what_lies_beside_a_raster_counts_where_it_makes_gaps(folder: Path, change) -> None:
    path = folder / "a.tif"
    before = state(path)
    assert state(path) == before
    keep_time(path, lambda: change(path))
    assert state(path) != before


def test_what_a_viewer_writes_beside_it_does_not_count(folder: Path) -> None:
    path = folder / "a.tif"
    before, of_overviews = state(path), state(path, overviews=True)
    Path(f"{path}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><Metadata><MDI key="STATISTICS_MEAN">3</MDI>'
        "</Metadata></PAMRasterBand></PAMDataset>"
    )
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as dataset:
        keep_time(path, lambda: dataset.build_overviews([2]))
    assert Path(f"{path}.ovr").exists()
    before["image"][0] = state(path)["image"][0]  # GDAL writes to the file all the same
    assert state(path) == before
    assert state(path, overviews=True) != of_overviews


@pytest.mark.parametrize("name", ["v.vrt", "w.vrt"])
def test_the_files_of_a_vrt_count(folder: Path, name: str) -> None:
    path = folder / name
    before = state(path)
    make_geotiff(folder / "a.tif", size_px=(8, 9), seed=5)
    after = state(path)
    assert after != before
    other = VRT.format(source="a.tif", band=2)
    keep_time(folder / "v.vrt", lambda: (folder / "v.vrt").write_text(other))
    assert state(path) != after


def test_the_place_counts_and_the_folder_does_not(folder: Path, tmp_path_factory) -> None:
    path = folder / "v.vrt"
    before = state(path)
    moved = tmp_path_factory.mktemp("moved") / "scenes"
    folder.rename(moved)
    assert state(moved / "v.vrt") == before
    before = state(moved / "a.tif")["place"]
    place(moved / "a.tif")
    assert state(moved / "a.tif")["place"] != before


def place(path: Path) -> None:
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = Affine(2, 0, 5, 0, -2, 9)


def test_control_points_and_rpcs_are_a_place(tmp_path: Path) -> None:
    path = tmp_path / "gcps.tif"
    profile = {"driver": "GTiff", "height": 8, "width": 9, "count": 1, "dtype": "uint8"}
    found = []
    for shift in (0, 0, 1):
        points = [GroundControlPoint(row, col, col + shift, -row) for row, col in [(0, 0), (0, 9)]]
        with rasterio.open(path, "w", **profile, gcps=points, crs="EPSG:32633"):
            pass
        assert state(path) == state(path)
        found.append(state(path)["place"])
    coefficients = [1.0, *(0.0,) * 19]
    for height in (0.0, 7.0):
        rpcs = RPC(
            height, 100.0, 45.0, 0.1, coefficients, coefficients, 4.0, 4.0, 12.0, 0.1,
            coefficients, coefficients, 4.0, 4.0,
        )  # fmt: skip
        with allow_missing_georeference(), rasterio.open(path, "w", **profile, rpcs=rpcs):
            pass
        assert state(path) == state(path)
        found.append(state(path)["place"])
    assert found[0] == found[1] and len(set(found)) == 4
