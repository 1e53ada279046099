from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from mmrs.errors import OutputError
from mmrs.geo.georeference import allow_missing_georeference
from mmrs.geo.maps.raster_options import BLOCK_PX, RasterLayout, RasterOptions
from mmrs.geo.maps.raster_output import raster_output
from mmrs.geo.maps.read_back import checksum, read_back

HEIGHT, WIDTH = 600, 300
NAMES = '["a"]'
FACTS = ("255.0", ("uint8",) * 2, ("one", "two"), (0.5, 0.5), NAMES, True, None, 0, True)


def describe(dataset) -> None:
    dataset.descriptions = ("one", "two")
    dataset.scales = (0.5, 0.5)
    dataset.update_tags(CLASS_NAMES=NAMES)


def write(path: Path, pixels: np.ndarray, **options) -> list[int]:
    """A raster with overviews; returns the checksums of its bands."""
    layout = RasterLayout(HEIGHT, WIDTH, len(pixels), "uint8", 255, is_score=False)
    with raster_output(
        path,
        path,
        layout,
        options=RasterOptions(**options),
        georeference=None,
        describe=describe,
    ) as output:
        output.write_rows(pixels)
    return output.checksums


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (2, HEIGHT, WIDTH), dtype=np.uint8)


def test_checksums_go_on_from_piece_to_piece(pixels: np.ndarray) -> None:
    parts = checksum(pixels[0, 100:], checksum(pixels[0, :100]))
    assert parts == checksum(pixels[0]) != checksum(pixels[1])
    assert checksum(pixels[:, ::2, ::-1]) == checksum(pixels[:, ::2, ::-1].copy())


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd", "none"])
def test_whole_files_pass_and_cut_ones_do_not(
    tmp_path: Path, pixels: np.ndarray, form: str, compress: str
) -> None:
    path = tmp_path / "a.tif"
    checksums = write(path, pixels, format=form, compress=compress)
    content, is_cog = path.read_bytes(), form == "cog"
    read_back(path, path, checksums, described=FACTS, overviews=[2, 4], is_cog=is_cog)
    # the last four bytes of a COG repeat others, for those who look from behind
    end = len(content) - 4 * is_cog
    for size in (end - 1, end - 5, end - 100, end // 2, 10):
        path.write_bytes(content[:size])
        with pytest.raises(OutputError, match=r"a\.tif: (cannot be read back|reads back other)"):
            read_back(path, path, checksums, described=FACTS, overviews=[2, 4], is_cog=is_cog)


def test_other_pixels_do_not_pass(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    checksums = write(path, pixels)
    for changed in (("254.0", *FACTS[1:]), (*FACTS[:4], "[]", *FACTS[5:])):
        with pytest.raises(OutputError, match=r"a\.tif: reads back other than it was written"):
            read_back(path, path, checksums, described=changed, overviews=[2, 4], is_cog=False)
    with pytest.raises(OutputError, match=r"a\.tif: reads back other than it was written"):
        read_back(path, path, checksums[::-1], described=FACTS, overviews=[2, 4], is_cog=False)


@pytest.mark.parametrize("damage", ["hole", "missing"])
@pytest.mark.parametrize("level", [0, 1])
def test_damaged_overviews_do_not_pass(
    tmp_path: Path, pixels: np.ndarray, damage: str, level: int
) -> None:
    path = tmp_path / "a.tif"
    checksums = write(path, pixels)
    with allow_missing_georeference(), rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]
        begin, length = (
            int(dataset.get_tag_item(f"BLOCK_{what}_0_0", dm="TIFF", bidx=2, ovr=level))
            for what in ("OFFSET", "SIZE")
        )
    if damage == "hole":
        with path.open("r+b") as file:
            file.seek(begin + length - 8)
            file.write(b"\0" * 8)
        with pytest.raises(OutputError, match=r"a\.tif: cannot be read back"):
            read_back(path, path, checksums, described=FACTS, overviews=[2, 4], is_cog=False)
        return
    # a sparse file is what GDAL leaves where a tile was never written
    sparse, empty = tmp_path / "sparse.tif", np.full_like(pixels, 255)
    write(sparse, empty)
    with allow_missing_georeference():
        copy(sparse, path, driver="GTiff", tiled=True, blockxsize=BLOCK_PX, blockysize=BLOCK_PX,
             interleave="band", sparse_ok=True, copy_src_overviews=True)  # fmt: skip
    with pytest.raises(OutputError, match=r"tile 0_0.* is not whole"):
        read_back(
            path,
            path,
            [checksum(band) for band in empty],
            described=FACTS,
            overviews=[2, 4],
            is_cog=False,
        )


def test_a_geotiff_is_no_cog(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    checksums = write(path, pixels)
    with pytest.raises(OutputError, match="GDAL wrote it, but not as a COG"):
        read_back(path, path, checksums, described=FACTS, overviews=[2, 4], is_cog=True)


@pytest.mark.parametrize("form", ["gtiff", "cog"])
def test_a_file_without_its_overviews_does_not_pass(
    tmp_path: Path, pixels: np.ndarray, form: str
) -> None:
    # what GDAL leaves, without a word, where the disk is full as it writes them
    path = tmp_path / "a.tif"
    checksums = write(path, pixels, format=form, overviews="none")
    read_back(path, path, checksums, described=FACTS, overviews=[], is_cog=form == "cog")
    with pytest.raises(OutputError, match=r"a\.tif: cannot be read back \(an overview is missing"):
        read_back(path, path, checksums, described=FACTS, overviews=[2, 4], is_cog=form == "cog")


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("shape", [(3, 20_000), (20_000, 3), (40_000, 1), (700, 17_001)])
def test_long_scenes_whose_sides_are_no_powers_of_two_pass(
    tmp_path: Path, shape: tuple[int, int], form: str
) -> None:
    """GDAL tells an overview's factor as the rounded ratio of the widths: 127 for 128."""
    layout = RasterLayout(*shape, 1, "uint8", 255, is_score=False)
    with raster_output(
        tmp_path / "a.tif",
        tmp_path / "a.tif",
        layout,
        options=RasterOptions(format=form),
        georeference=None,
        describe=lambda dataset: None,
    ) as output:
        output.write_rows(np.ones((1, *shape), dtype=np.uint8))
    with allow_missing_georeference(), rasterio.open(tmp_path / "a.tif") as dataset:
        assert len(dataset.overviews(1)) >= 7
        assert (dataset.read() == 1).all()
