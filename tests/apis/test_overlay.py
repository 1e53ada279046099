from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from mmrs.apis.overlay import PANEL_PX, compose, mix, to_rgb, write_overlay
from mmrs.errors import OutputError
from mmrs.geo.maps.class_map import write_class_map
from mmrs.geo.raster import Georeference

PALETTE = [(250, 10, 20), (30, 240, 50)]
GRID = Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)


def write_pair(folder: Path, labels: np.ndarray, dtype: str = "uint8") -> tuple[Path, Path]:
    """A grey scene and the class map of it."""
    height, width = labels.shape
    scene, class_map = folder / "é 中.tif", folder / "map.tif"
    crs = rasterio.crs.CRS.from_epsg(32633)
    with rasterio.open(
        scene, "w", driver="GTiff", height=height, width=width, count=3, dtype=dtype, crs=crs,
        transform=GRID,
    ) as dataset:  # fmt: skip
        dataset.write(np.full((3, height, width), 100, dtype=dtype))
    with write_class_map(
        class_map, height=height, width=width, classes=("a", "b"), palette=PALETTE,
        georeference=Georeference(crs, GRID),
    ) as writer:  # fmt: skip
        writer.write_rows(labels)
    return scene, class_map


def colours_of(path: Path) -> set[tuple[int, ...]]:
    pixels = np.asarray(Image.open(path))
    return set(map(tuple, np.unique(pixels.reshape(-1, 3), axis=0).tolist()))


def test_the_page_shows_the_scene_the_classes_and_a_legend(tmp_path: Path) -> None:
    labels = np.zeros((60, 90), dtype=np.uint8)
    labels[:, 30:] = 1
    labels[50:] = 255
    scene, class_map = write_pair(tmp_path, labels)
    out = tmp_path / "new folder" / "page.png"
    write_overlay(scene, class_map, out, classes=("a", "b"), palette=PALETTE)
    colours = colours_of(out)
    # the image's grey, both classes, and both mixed with the grey, half and half
    assert {(100, 100, 100), *PALETTE, (175, 55, 60), (65, 170, 75)} <= colours
    page = np.asarray(Image.open(out))
    # the legend's swatches lie below the panels
    assert (page[-60:] == PALETTE[0]).all(axis=-1).any()


def test_large_scenes_are_shrunk(tmp_path: Path) -> None:
    labels = np.zeros((900, 1500), dtype=np.uint8)
    scene, class_map = write_pair(tmp_path, labels)
    write_overlay(scene, class_map, tmp_path / "page.png", classes=("a", "b"), palette=PALETTE)
    with Image.open(tmp_path / "page.png") as page:
        width, height = page.size
    assert 3 * PANEL_PX < width < 3.2 * PANEL_PX
    assert height < 900


def test_mixing_keeps_opacity_marks_borders_and_spares_nodata() -> None:
    picture = np.full((1, 4, 3), 100, dtype=np.uint8)
    colours = np.full((1, 4, 3), 200, dtype=np.uint8)
    labels = np.array([[0, 0, 1, 255]], dtype=np.uint8)
    mixed = mix(picture, colours, labels, opacity=0.25)
    assert mixed[0, :, 0].tolist() == [125, 125, 56, 200]


def test_other_types_than_bytes_are_stretched_and_one_band_is_grey() -> None:
    ramp = np.linspace(1000, 3000, 101).reshape(1, 101, 1).astype(np.uint16)
    picture = to_rgb(ramp)
    assert picture.shape == (1, 101, 3)
    assert (picture[..., 0] == picture[..., 2]).all()
    # 2 % saturate at either end
    assert picture[0, 2, 0] == 0
    assert picture[0, 98, 0] == 255
    assert picture[0, 50, 0] == pytest.approx(127, abs=2)
    four = np.random.default_rng(0).integers(0, 255, (3, 3, 4), dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb(four), four[..., :3])


def test_a_legend_that_is_too_long_gets_more_lines() -> None:
    panel = np.zeros((40, 40, 3), dtype=np.uint8)
    pages = [
        compose(
            title="t",
            subtitle="s",
            panels=[("one", panel)],
            legend=[(f"a class with quite a long name {i}", (1, 2, 3)) for i in range(count)],
        )
        for count in (1, 20)
    ]
    assert pages[1].height > pages[0].height + 5 * 30
    assert pages[1].width == pages[0].width


def test_an_error_leaves_the_old_picture(tmp_path: Path) -> None:
    scene, class_map = write_pair(tmp_path, np.zeros((8, 8), dtype=np.uint8))
    with pytest.raises(OutputError, match="is a folder"):
        write_overlay(scene, class_map, tmp_path, classes=("a", "b"), palette=PALETTE)


def test_pixels_without_data_do_not_spoil_the_stretch(tmp_path: Path) -> None:
    pixels = np.full((40, 50, 1), -32768, dtype=np.int16)
    pixels[10:, :, 0] = np.linspace(300, 900, 50).astype(np.int16)
    stretched = to_rgb(pixels, pixels[..., 0] != -32768)[20, :, 0]
    assert stretched[0] == 0
    assert stretched[-1] == 255
    assert (np.diff(stretched.astype(int)) >= 0).all()
    # where nothing holds data there is still a picture
    assert to_rgb(pixels, np.zeros((40, 50), dtype=bool)).shape == (40, 50, 3)

    labels = np.zeros((60, 90), dtype=np.uint8)
    labels[30:] = 255
    scene, class_map = write_pair(tmp_path, labels, dtype="int16")
    with rasterio.open(scene, "r+") as dataset:
        values = np.broadcast_to(np.arange(90, dtype=np.int16) * 40, (3, 60, 90)).copy()
        values[:, 30:] = -32768
        dataset.write(values)
    out = tmp_path / "page.png"
    write_overlay(scene, class_map, out, classes=("a", "b"), palette=PALETTE)
    greys = {colour[0] for colour in colours_of(out) if len(set(colour)) == 1}
    assert len(greys) > 60
