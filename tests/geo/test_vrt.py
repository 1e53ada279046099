from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from mmrs.errors import DataError
from mmrs.geo import vrt
from mmrs.geo.raster import Raster
from mmrs.geo.resampled import ResampledRaster
from mmrs.geo.vrt import is_vrt, safe_vrt
from mmrs.geo.windows import Window
from tests.fake_data import make_geotiff

SIZE = (12, 9)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A GeoTIFF in a folder whose neighbour holds another."""
    for folder in ("inside é", "outside"):
        (tmp_path / folder).mkdir()
        make_geotiff(tmp_path / folder / "a.tif", size_px=SIZE, seed=len(folder))
    return tmp_path / "inside é" / "a.tif"


def write_vrt(
    path: Path,
    source: str,
    *,
    kind: str = "SimpleSource",
    root: str = "",
    band: str = "",
    top: str = "",
    in_band: str = "",
    in_source: str = "",
    relative: int = 1,
) -> Path:
    path.write_text(
        f'<VRTDataset rasterXSize="{SIZE[1]}" rasterYSize="{SIZE[0]}"{root}>{top}'
        f'<VRTRasterBand dataType="Byte" band="1"{band}>{in_band}'
        f'<{kind}><SourceFilename relativeToVRT="{relative}">{escape(source)}</SourceFilename>'
        f"<SourceBand>1</SourceBand>{in_source}</{kind}></VRTRasterBand></VRTDataset>"
    )
    return path


def assert_refused(path: Path, told: str) -> None:
    for opened in (safe_vrt, Raster):
        with pytest.raises(DataError, match=f"this VRT is not opened: .*{told}") as caught:
            opened(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("deep", [1, 2, 3])
def test_a_plain_vrt_reads_as_what_it_stands_for(scene: Path, deep: int) -> None:
    path = scene
    for level in range(deep):
        (scene.parent / f"level {level}").mkdir()
        path, before = scene.with_name(f"{level}.vrt"), path
        copy(before, path, driver="VRT")
    assert is_vrt(path) and not is_vrt(scene)
    with rasterio.Env(), Raster(path) as found, Raster(scene) as expected:
        np.testing.assert_array_equal(found.read(), expected.read())
        window = Window(3, 2, 4, 5)
        np.testing.assert_array_equal(found.read(window), expected.read(window))
        np.testing.assert_array_equal(found.read_valid(), expected.read_valid())
        assert found.georeference.transform == expected.georeference.transform
        assert found.georeference.crs == expected.georeference.crs


def test_a_mosaic_of_a_folder_below_with_nodata_between(scene: Path) -> None:
    below = scene.parent / "tiles"
    below.mkdir()
    scene.rename(below / "a.tif")
    with rasterio.open(below / "a.tif") as dataset:
        tile = dataset.read(1)
    height, width = SIZE
    sources = "".join(
        f'<ComplexSource><SourceFilename relativeToVRT="1">tiles/a.tif</SourceFilename>'
        f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
        f'<DstRect xOff="{left}" yOff="0" xSize="{width}" ySize="{height}"/><NODATA>255</NODATA>'
        "</ComplexSource>"
        for left in (0, width + 2)
    )
    path = scene.parent / "mosaic.vrt"
    path.write_text(
        f'<?xml version="1.0"?><!-- two tiles -->\n<VRTDataset rasterXSize="{2 * width + 2}" '
        f'rasterYSize="{height}"><GeoTransform>5e5, 2, 0, 5e6, 0, -2</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>255</NoDataValue>'
        f"{sources}</VRTRasterBand></VRTDataset>"
    )
    with rasterio.Env(), Raster(path) as raster:
        gap = np.full((height, 2), 255, dtype=np.uint8)
        np.testing.assert_array_equal(raster.read()[..., 0], np.hstack([tile, gap, tile]))
        assert not raster.read_valid()[:, width : width + 2].any()


def test_a_vrt_is_resampled_as_its_file_is(scene: Path) -> None:
    path = scene.with_suffix(".vrt")
    copy(scene, path, driver="VRT")
    with rasterio.Env(), Raster(scene) as raster:
        gsd = (2 * raster.gsd_m,) * 2
    with rasterio.Env(), ResampledRaster(scene, gsd_m=gsd) as expected:
        with ResampledRaster(path, gsd_m=gsd) as found:
            np.testing.assert_array_equal(found.read(), expected.read())


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("../outside/a.tif", "'../outside/a.tif' lies outside the VRT's own folder"),
        ("/etc/hostname", "'/etc/hostname' lies outside"),
        ("http://127.0.0.1:9/a.tif", "is not a file, but a server"),
        ("/vsicurl/http://127.0.0.1:9/a.tif", "is not a file, but a server"),
        ("/vsizip/a.zip/a.tif", "is not a file, but a server or a part of a file"),
        ("GTIFF_DIR:1:a.tif", "is not a file, but a server"),
        ("DERIVED_SUBDATASET:LOGAMPLITUDE:a.tif", "is not a file, but a server"),
        ("HDF5:a.h5://x", "is not a file, but a server"),
        ("missing.tif", "'missing.tif' is not there"),
        ("<GDAL_WMS/>", "is not there"),
        ("", "is not a file"),
        ("a\0.tif", "is not XML"),
        (".", "'.' is not a file"),
        ("text.tif", "'text.tif' is not a GeoTIFF, PNG, JPEG"),
        ("mark.tif", "'mark.tif' is two formats in one file"),
        ("link.tif", "'link.tif' lies outside"),
        ("self.vrt", "'self.vrt' is a VRT in a VRT, more than 3 deep"),
        ("broken.tif", "'broken.tif' is not read: not a raster that can be read"),
    ],
)
def test_sources_that_could_reach_elsewhere_are_refused(
    scene: Path, source: str, told: str
) -> None:
    folder = scene.parent
    (folder / "text.tif").write_text("text")
    (folder / "mark.tif").write_bytes(scene.read_bytes()[:100] + b"<VRTDataset/>")
    (folder / "broken.tif").write_bytes(b"II*\0broken")
    (folder / "link.tif").symlink_to(folder.parent / "outside" / "a.tif")
    write_vrt(folder / "self.vrt", "self.vrt")
    for relative in (0, 1):
        if relative or source[:1] == "/" or ":" in source:
            path = write_vrt(folder / "bad.vrt", source, relative=relative)
            assert_refused(path, told)


def test_a_nested_vrt_is_held_to_the_same_rule(scene: Path) -> None:
    write_vrt(scene.with_name("inner.vrt"), "../outside/a.tif")
    assert_refused(write_vrt(scene.with_name("outer.vrt"), "inner.vrt"), "lies outside")


@pytest.mark.parametrize("crs", ["EPSG:32633", " EPSG:32633\n", None, ""])
def test_codes_and_wkt_are_taken_as_a_crs(scene: Path, crs: str | None) -> None:
    text = rasterio.crs.CRS.from_epsg(32633).to_wkt() if crs is None else crs
    path = write_vrt(scene.with_name("a.vrt"), "a.tif", top=f"<SRS>{text}</SRS>")
    with rasterio.Env(), Raster(path) as raster:
        found = raster.georeference.crs
    assert found is None if crs == "" else found.to_epsg() == 32633


def test_a_link_to_a_vrt_means_the_folder_of_the_vrt(scene: Path) -> None:
    write_vrt(scene.with_suffix(".vrt"), "a.tif")
    link = scene.parent.parent / "link.vrt"
    link.symlink_to(scene.with_suffix(".vrt"))
    with rasterio.Env(), Raster(link) as found, Raster(scene) as expected:
        np.testing.assert_array_equal(found.read()[..., 0], expected.read()[..., 0])


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"root": ' subClass="VRTWarpedDataset"'}, "VRTDataset is a VRTWarpedDataset"),
        ({"band": ' subClass="VRTDerivedRasterBand"'}, "VRTRasterBand is a VRTDerivedRasterBand"),
        ({"band": ' subClass="VRTRawRasterBand"'}, "is a VRTRawRasterBand"),
        ({"in_band": "<PixelFunctionType>a.b</PixelFunctionType>"}, "<PixelFunctionType> in"),
        ({"in_band": "<PixelFunctionCode>1</PixelFunctionCode>"}, "<PixelFunctionCode> in"),
        ({"in_band": "<Overview><SourceFilename>/x</SourceFilename></Overview>"}, "<Overview> in"),
        ({"top": "<GDALWarpOptions/>"}, "<GDALWarpOptions> in <VRTDataset>"),
        ({"top": "<PansharpeningOptions/>"}, "<PansharpeningOptions> in"),
        ({"top": "<SRS><SourceFilename>/x</SourceFilename></SRS>"}, "<SourceFilename> in <SRS>"),
        ({"top": "<SRS>/etc/hostname</SRS>"}, "CRS '/etc/hostname' is neither a code nor WKT"),
        ({"top": "<SRS>http://127.0.0.1:9/</SRS>"}, "CRS 'http://127.0.0.1:9/' is neither"),
        ({"top": "<SRS>IGNF:/x</SRS>"}, "CRS 'IGNF:/x' is neither"),
        ({"top": '<GCPList Projection="/vsicurl/x"></GCPList>'}, "CRS '/vsicurl/x' is neither"),
        ({"kind": "KernelFilteredSource"}, "<KernelFilteredSource> in"),
        ({"kind": "ArraySource"}, "<ArraySource> in"),
        ({"in_source": "<OpenOptions><OOI key='X'>1</OOI></OpenOptions>"}, "<OpenOptions> in"),
        ({"top": '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude"/>'}, "include> in"),
    ],
)
def test_what_is_not_plain_pixels_is_refused(scene: Path, parts: dict, told: str) -> None:
    assert_refused(write_vrt(scene.with_name("bad.vrt"), "a.tif", **parts), told)


def test_metadata_that_names_files_never_reaches_gdal(scene: Path) -> None:
    metadata = '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/etc/x</MDI></Metadata>'
    plain = "<Metadata><MDI key='a'>b</MDI></Metadata>"
    path = write_vrt(scene.with_name("a.vrt"), "a.tif", top=metadata + plain, in_band=metadata)
    assert "OVERVIEW" not in safe_vrt(path)
    with rasterio.Env(), Raster(path) as raster:
        assert raster.dataset.tags()["a"] == "b"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]><VRTDataset/>', "declares a document type"),
        (b"<VRTDataset><unclosed></VRTDataset>", "is not XML"),
        (b"<VRTDataset>\xff</VRTDataset>", "is not UTF-8"),
        (b"<!-- <VRTDataset --><OGRVRTDataSource/>", "is a <OGRVRTDataSource>"),
        (b"<VRTDataset>" + b" " * 2000 + b"</VRTDataset>", "is larger than 1,000 bytes"),
        (b"<VRTDataset/>", ""),
    ],
)
def test_what_is_no_vrt_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    monkeypatch.setattr(vrt, "MAX_BYTES", 1000)
    path = tmp_path / "a.vrt"
    path.write_bytes(content)
    if told:
        assert_refused(path, told)
    else:
        with rasterio.Env(), pytest.raises(DataError, match=r"a\.vrt: this VRT is not opened"):
            Raster(path)


def test_another_encoding_hides_nothing(scene: Path) -> None:
    path = write_vrt(scene.with_name("a.vrt"), "../outside/a.tif")
    text = path.read_text()
    # utf-7 would read the name as another; the text is taken as UTF-8 whatever it declares
    path.write_text(f'<?xml version="1.0" encoding="utf-7"?>{text}')
    assert_refused(path, "lies outside")
