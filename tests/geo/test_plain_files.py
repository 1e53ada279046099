from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from mmrs.errors import DataError
from mmrs.geo.plain_files import open_plain
from mmrs.geo.raster import Raster
from tests.fake_data import make_geotiff

SECRET_VRT = (
    '<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><Metadata>'
    '<MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata><VRTRasterBand dataType="Byte" band="1">'
    "<SimpleSource><SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand>"
    "</VRTDataset>"
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "inside" / "a.tif"
    make_geotiff(path, size_px=(40, 30))
    make_geotiff(tmp_path / "outside" / "secret.tif", size_px=(20, 15))
    return path


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}/a.tif", asked
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("where", ["tag", "aux"])
def test_overviews_that_a_file_names_elsewhere_are_never_fetched(
    image: Path, server: tuple[str, list[str]], where: str
) -> None:
    address, asked = server
    named = f"/vsicurl/{address}"
    if where == "tag":
        with rasterio.open(image, "r+") as dataset:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=named)
    else:
        Path(f"{image}.aux.xml").write_text(
            '<PAMDataset><Metadata domain="OVERVIEWS">'
            f'<MDI key="OVERVIEW_FILE">{named}</MDI></Metadata></PAMDataset>'
        )
    with pytest.raises(DataError, match=r"a\.tif: names another file as its overviews: '/vsicurl"):
        open_plain(image)
    assert asked == []
    # the control: this is what GDAL does; elsewhere, since it would keep the server from answering
    code = f"import rasterio; rasterio.open({str(image)!r}).overviews(1)"
    subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True)
    assert asked


@pytest.mark.parametrize("suffix", [".ovr", ".OVR", ".msk", ".MSK"])
def test_a_vrt_beside_a_file_is_not_its_overview_or_mask(image: Path, suffix: str) -> None:
    height, width = (20, 15) if suffix.lower() == ".ovr" else (40, 30)
    secret = image.parent.parent / "outside" / "secret.tif"
    beside = Path(f"{image}{suffix}")
    beside.write_text(SECRET_VRT.format(height=height, width=width, source=secret))
    with pytest.raises(DataError, match=rf"a\.tif: GDAL would read a\.tif\{suffix} as its") as got:
        Raster(image)
    assert "\n" not in str(got.value)
    with rasterio.open(image) as dataset:  # the control
        assert str(secret) in dataset.files


def test_overviews_of_overviews_are_held_to_the_same_rule(image: Path) -> None:
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(image, "r+") as dataset:
        dataset.build_overviews([2], Resampling.nearest)
    beside = Path(f"{image}.ovr")
    with rasterio.Env(), Raster(image) as raster:  # GDAL's own are read as ever
        assert raster.dataset.overviews(1) == [2]
    Path(f"{beside}.ovr").write_text("text")
    with pytest.raises(DataError, match=r"a\.tif: GDAL would read a\.tif\.ovr\.ovr"):
        Raster(image)


def test_a_damaged_companion_is_told(image: Path) -> None:
    Path(f"{image}.msk").write_bytes(b"II*\0 and nothing more")
    with pytest.raises(DataError, match=r"a\.tif: its overviews or mask in a\.tif\.msk cannot be"):
        Raster(image)


def test_a_mask_beside_a_file_counts_as_ever(image: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(image, "r+") as dataset:
        mask = np.full(dataset.shape, 255, dtype=np.uint8)
        mask[:7] = 0
        dataset.write_mask(mask)
    assert Path(f"{image}.msk").is_file()
    with rasterio.Env(), Raster(image) as raster:
        np.testing.assert_array_equal(raster.read_valid(), mask > 0)


def test_other_programs_files_are_passed_over(image: Path) -> None:
    for name in ("a.aux", "a.tif.aux", "a.txt"):
        image.with_name(name).write_text("\\relax")
    with rasterio.Env(), Raster(image) as raster:
        assert raster.count == 3
