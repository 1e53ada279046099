from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from mmrs.errors import OutputError
from mmrs.geo.georeference import allow_missing_georeference
from mmrs.geo.maps.raster_options import RasterLayout, RasterOptions
from mmrs.geo.maps.raster_output import check_suffix, raster_output

HEIGHT, WIDTH = 700, 530


def write(path: Path, pixels: np.ndarray, *, step: int = 100, is_score: bool, **options) -> None:
    nodata = float("nan") if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    count, height, width = pixels.shape
    layout = RasterLayout(height, width, count, str(pixels.dtype), nodata, is_score=is_score)
    with raster_output(
        path,
        path,
        layout,
        options=RasterOptions(**options),
        georeference=None,
        describe=lambda dataset: dataset.update_tags(said="yes"),
    ) as output:
        for row in range(0, height, step):
            output.write_rows(pixels[:, row : row + step])


def read(path: Path, level: int | None = None) -> tuple[np.ndarray, Any, list[int], dict, dict]:
    options = {} if level is None else {"overview_level": level}
    with allow_missing_georeference(), rasterio.open(path, **options) as dataset:
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        return (
            dataset.read(), dataset.profile, dataset.overviews(1), structure, dataset.tags()
        )  # fmt: skip


@pytest.fixture(params=["uint8", "uint16", "float32"])
def pixels(request: pytest.FixtureRequest) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.integers(-1, 2, (2, HEIGHT, WIDTH)), axis=2) % 200
    return values.astype(request.param)


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd", "none"])
def test_pixels_come_back_and_the_file_is_as_asked(
    tmp_path: Path, pixels: np.ndarray, form: str, compress: str
) -> None:
    path = tmp_path / "a.tif"
    write(path, pixels, is_score=True, format=form, compress=compress)
    found, profile, overviews, structure, tags = read(path)
    np.testing.assert_array_equal(found, pixels)
    assert overviews == [2, 4] and tags["said"] == "yes"
    assert (profile["tiled"], profile["blockxsize"], profile["blockysize"]) == (True, 256, 256)
    assert structure.get("COMPRESSION", "NONE").lower() == compress
    predictor = {"f": "3"}.get(pixels.dtype.kind, "2")
    assert structure.get("PREDICTOR") == (None if compress == "none" else predictor)
    assert structure.get("LAYOUT") == ("COG" if form == "cog" else None)
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("form", ["gtiff", "cog"])
def test_scores_are_averaged_and_classes_are_not(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).choice(np.uint8([0, 100]), (1, 512, 512))
    blocks = pixels[0].reshape(256, 2, 256, 2).transpose(0, 2, 1, 3).reshape(256, 256, 4)
    write(path, pixels, is_score=True, format=form)
    np.testing.assert_allclose(read(path, 0)[0][0], blocks.mean(axis=-1), atol=0.5)
    write(path, pixels, is_score=False, format=form, overviews="nearest")
    nearest = read(path, 0)[0][0]
    assert (nearest[..., None] == blocks).any(axis=-1).all()
    write(path, pixels, is_score=False, format=form, overviews="mode")
    most = read(path, 0)[0][0]
    hundreds = (blocks == 100).sum(axis=-1)
    assert (most[hundreds > 2] == 100).all() and (most[hundreds < 2] == 0).all()
    assert not np.array_equal(most, nearest)
    write(path, pixels, is_score=False, format=form, overviews="none")
    assert read(path)[2] == []


def test_nodata_takes_no_part_in_averages(tmp_path: Path) -> None:
    pixels = np.full((1, 512, 512), 255, dtype=np.uint8)
    pixels[:, ::2, ::2] = 40
    write(tmp_path / "a.tif", pixels, is_score=True)
    assert (read(tmp_path / "a.tif", 0)[0] == 40).all()


def test_a_higher_level_is_smaller(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 7, (1, 30, 20), dtype=np.uint8)
    pixels = labels.repeat(9, axis=1).repeat(9, axis=2)
    sizes = []
    for form in ("gtiff", "cog"):
        for level in (1, 9):
            write(tmp_path / "a.tif", pixels, is_score=True, format=form, level=level)
            sizes.append((tmp_path / "a.tif").stat().st_size)
    assert sizes[0] > sizes[1] and sizes[2] > sizes[3]


def directories(content: bytes) -> list[dict[int, tuple[int, ...]]]:
    """The directories of a little-endian classic TIFF: their places (tag -1), tags and values."""
    assert content[:4] == b"II*\0"
    (begin,), found = struct.unpack_from("<I", content, 4), []
    while begin:
        (count,), tags = struct.unpack_from("<H", content, begin), {-1: (begin,)}
        for entry in range(begin + 2, begin + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from("<HHI", content, entry)
            letter = {1: "B", 3: "H", 4: "I"}.get(kind)
            if letter is not None:
                size = struct.calcsize(letter) * length
                (at,) = (entry + 8,) if size <= 4 else struct.unpack_from("<I", content, entry + 8)
                tags[tag] = struct.unpack_from(f"<{length}{letter}", content, at)
        found.append(tags)
        (begin,) = struct.unpack_from("<I", content, begin + 2 + 12 * count)
    return found


def test_a_cog_is_laid_out_for_those_who_fetch_a_part(tmp_path: Path, pixels: np.ndarray) -> None:
    # GDAL's words on it are one thing; here the bytes are read
    path = tmp_path / "a.tif"
    write(path, pixels, is_score=True, format="cog")
    content = path.read_bytes()
    assert b"LAYOUT=IFDS_BEFORE_DATA" in content[:400]
    found = directories(content)
    assert [tags[256][0] for tags in found] == [530, 265, 133]  # full size first
    places = [tags[-1][0] for tags in found]
    firsts = [min(tags[324]) for tags in found]  # TileOffsets
    assert places == sorted(places) and max(places) < min(firsts)
    assert firsts == sorted(firsts, reverse=True)  # the smallest overview's pixels come first


@pytest.mark.parametrize("step", [1, 255, 256, 257, 700])
def test_pieces_of_any_height_make_the_same_file(tmp_path: Path, step: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (2, HEIGHT, 20), dtype=np.uint8)
    write(tmp_path / "a.tif", pixels, is_score=False, step=step)
    write(tmp_path / "b.tif", pixels, is_score=False, step=HEIGHT)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_rows_too_many_or_too_few_are_refused(tmp_path: Path) -> None:
    layout = RasterLayout(4, 3, 1, "uint8", 255, is_score=False)
    for form in ("gtiff", "cog"):
        path = tmp_path / "a.tif"
        common = {
            "options": RasterOptions(format=form), "georeference": None,
            "describe": lambda dataset: None,
        }  # fmt: skip
        with pytest.raises(ValueError, match="row 5 of a map of 4"):
            with raster_output(path, path, layout, **common) as output:
                output.write_rows(np.zeros((1, 5, 3), dtype=np.uint8))
        with pytest.raises(OutputError, match=r"a\.tif: only 3 of 4 rows were written"):
            with raster_output(path, path, layout, **common) as output:
                output.write_rows(np.zeros((1, 3, 3), dtype=np.uint8))
        assert set(os.listdir(tmp_path)) <= {"a.tif"}


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.tif"
    with pytest.raises(OutputError, match=r"a\.tif: cannot be made"):
        write(path, np.zeros((1, 2, 2), dtype=np.uint8), is_score=False)


def test_names_that_are_no_geotiff_are_refused() -> None:
    check_suffix(Path("a.TIFF"), "a map")
    with pytest.raises(OutputError, match=r"a\.jp2: a map is a GeoTIFF\. Fix: end its name in"):
        check_suffix(Path("a.jp2"), "a map")
