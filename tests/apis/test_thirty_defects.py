"""The 30-defect test: each row of the failure catalogue that data can have, seeded and found.

Which file, which pixel and which value are drawn from a seed (MMRS_SEED, 0 by default).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine

from mmrs.apis.check_dataset import check_dataset
from tests.apis.check_sets import (
    PALETTE,
    SIDE,
    TRANSFORM,
    MadeSet,
    clean_sets,
    colour_set,
    geo_set,
    jpeg_set,
    png_set,
    two_classes,
    windows_set,
    write_raster,
    zero_label_set,
)

SEED = int(os.environ.get("MMRS_SEED", "0"))
# (row of the catalogue, name) -> function(root, rng) -> (set, kind of finding, texts in its line)
DEFECTS: dict[tuple[int, str], Callable] = {}


def defect(row: int) -> Callable:
    def register(function: Callable) -> Callable:
        DEFECTS[row, function.__name__] = function
        return function

    return register


def pick(paths: list[Path], rng: np.random.Generator) -> Path:
    return paths[rng.integers(len(paths))]


def pixel(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(SIDE)), int(rng.integers(SIDE))


def change(path: Path, edit: Callable[[np.ndarray], np.ndarray | None]) -> None:
    array = np.array(Image.open(path))
    edited = edit(array)
    Image.fromarray(array if edited is None else edited).save(path)


def rewrite(path: Path, pixels: np.ndarray | None = None, **changes: object) -> None:
    with rasterio.open(path) as raster:
        old = raster.read()
        settings = {"epsg": raster.crs.to_epsg(), "transform": raster.transform}
        settings["nodata"] = raster.nodata
    write_raster(path, old if pixels is None else pixels, **{**settings, **changes})


@defect(1)
def text_for_an_image(root, rng):
    made = png_set(root, rng)
    path = pick(made.images("train"), rng)
    path.write_text("no picture at all")
    return made, "unreadable", [str(path), "cannot be read as an image"]


@defect(1)
def empty_image(root, rng):
    made = png_set(root, rng)
    path = pick(made.images("val"), rng)
    path.write_bytes(b"")
    return made, "unreadable", [str(path), "0 bytes"]


@defect(1)
def text_for_a_label(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    path.write_text("<html>404</html>")
    return made, "unreadable", [str(path), "cannot be read as a label"]


@defect(2)
def wrong_suffix(root, rng):
    made = png_set(root, rng)
    made.image_suffix = str(rng.choice([".tif", ".jpg", ".PNG"]))
    return made, "data set", [made.image_suffix, "x .png", "img_suffix='.png'"]


@defect(2)
def one_image_of_another_suffix(root, rng):
    made = png_set(root, rng)
    path = pick(made.images("train"), rng)
    other = path.with_suffix(str(rng.choice([".jpg", ".PNG", ".bmp"])))
    path.rename(other)
    return made, "orphan", [str(other), "is not read"]


@defect(2)
def empty_folder(root, rng):
    made = png_set(root, rng)
    for path in made.images("val"):
        path.unlink()
    return made, "data set", [str(root / "img" / "val"), "it is empty"]


@defect(3)
def label_of_another_size(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    change(path, lambda a: a[: SIDE - int(rng.integers(1, 5))])
    return made, "size", [str(path), f"is {SIDE} x {SIDE}"]


@defect(4)
def image_of_16_bits(root, rng):
    made = png_set(root, rng)
    path = pick(made.images("train"), rng)
    Image.fromarray(np.full((SIDE, SIDE), rng.integers(256, 60_000), np.uint16)).save(path)
    return made, "bands", [str(path), "1 band of uint16", "8 bits in silence"]


@defect(4)
def one_image_with_a_band_more(root, rng):
    made = geo_set(root, rng)
    path = pick(made.images("train"), rng)
    with rasterio.open(path) as raster:
        pixels = raster.read()
    rewrite(path, pixels[[0, 1, 2, 0]].astype("uint16"))
    return made, "bands", [str(path), "4 bands of uint16", "3 bands of uint8"]


@defect(4)
def bands_that_the_model_does_not_take(root, rng):
    bands = int(rng.choice([4, 8, 12]))
    made = geo_set(root, rng, bands=bands, dtype="uint16")
    made.changes["model.data_preprocessor.mean"] = [100.0] * 3
    made.changes["model.data_preprocessor.std"] = [50.0] * 3
    return made, "bands", ["for 3 channels", f"gives {bands}"]


@defect(5)
def truncated_png(root, rng):
    made = png_set(root, rng)
    path = pick(made.images(str(rng.choice(["train", "val"]))), rng)
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.integers(60, len(whole) - 20)])
    return made, "unreadable", [str(path)]


@defect(5)
def truncated_jpeg(root, rng):
    made = jpeg_set(root, rng)
    path = pick(made.images("train"), rng)
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.integers(len(whole) // 2, len(whole) - 10)])
    return made, "unreadable", [str(path)]


@defect(5)
def truncated_geotiff(root, rng):
    made = geo_set(root, rng)
    path = pick(made.images("train"), rng)
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.integers(600, len(whole) - 50)])
    return made, "unreadable", [str(path)]


@defect(5)
def corrupt_block(root, rng):
    made = geo_set(root, rng)
    path = pick(made.images("val"), rng)
    whole = bytearray(path.read_bytes())
    middle = int(len(whole) * rng.uniform(0.5, 0.8))
    whole[middle : middle + 64] = bytes(64)
    path.write_bytes(bytes(whole))
    return made, "unreadable", [str(path), "block at row"]


@defect(5)
def truncated_label(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.integers(50, len(whole) - 20)])
    return made, "unreadable", [str(path), "ends"]


@defect(7)
def undeclared_nan(root, rng):
    made = geo_set(root, rng, dtype="float32")
    path = pick(made.images("train"), rng)
    with rasterio.open(path) as raster:
        pixels = raster.read()
    row, col = pixel(rng)
    pixels[rng.integers(3), row, col] = rng.choice([np.nan, np.inf, -np.inf])
    rewrite(path, pixels)
    return made, "nodata", [str(path), "1 pixels are NaN or infinite", f"row {row}, col {col}"]


@defect(7)
def nodata_with_a_class(root, rng):
    made = geo_set(root, rng, dtype="int16", nodata=-9999, keep=True)
    path = pick(made.labels("train"), rng)
    with rasterio.open(path) as raster:
        labels = raster.read()
    labels[0, 2:4, 3:5] = rng.integers(3)
    rewrite(path, labels)
    return made, "nodata", [path.name, "4 of 35 pixels without data", "row 2, col 3"]


@defect(7)
def nodata_that_the_loader_refuses(root, rng):
    made = geo_set(root, rng, dtype="uint16", nodata=0)
    return made, "nodata", ["35 pixels hold no data"]


@defect(8)
def one_image_without_crs(root, rng):
    made = geo_set(root, rng, label_suffix=".png")
    path = pick(made.images("train"), rng)
    rewrite(path, epsg=None, transform=None)
    return made, "crs", [str(path), "has no CRS"]


@defect(8)
def label_without_crs(root, rng):
    made = geo_set(root, rng)
    path = pick(made.labels("val"), rng)
    rewrite(path, epsg=None, transform=None)
    return made, "crs", [str(path), "has no CRS", "its image has"]


@defect(9)
def label_in_another_zone(root, rng):
    made = geo_set(root, rng)
    path = pick(made.labels("train"), rng)
    rewrite(path, epsg=int(rng.choice([32632, 32634, 25833])))
    return made, "grid", [str(path), "EPSG:32633"]


@defect(9)
def label_half_a_pixel_off(root, rng):
    made = geo_set(root, rng)
    path = pick(made.labels("train"), rng)
    a, b, c, d, e, f = tuple(TRANSFORM)[:6]
    rewrite(path, transform=Affine(a, b, c + a / 2, d, e, f))
    return made, "grid", [str(path), "transform"]


@defect(10)
def image_without_label(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    path.unlink()
    return made, "no label", [str(path), "no such file"]


@defect(10)
def label_without_image(root, rng):
    made = png_set(root, rng)
    path = pick(made.images("train"), rng)
    path.unlink()
    return made, "orphan", [str(root / "ann" / "train" / path.name), "has no image"]


@defect(14)
def masks_of_0_and_255(root, rng):
    made = png_set(root, rng, (0, 255))
    two_classes(made)
    return made, "encoding", ["hold only 0 and 255", "label_map={255: 1}"]


@defect(14)
def one_mask_of_0_and_255(root, rng):
    made = png_set(root, rng, (0, 1))
    two_classes(made)
    path = pick(made.labels("train"), rng)
    change(path, lambda a: a * np.uint8(255))
    return made, "encoding", [str(path), "label_map={255: 1}"]


@defect(15)
def zero_label_forgotten(root, rng):
    made = png_set(root, rng, (0, 1, 2, 3))
    return made, "range", ["value 3 at", "set reduce_zero_label=True"]


@defect(15)
def zero_label_too_many(root, rng):
    made = png_set(root, rng)
    made.changes["dataset.reduce_zero_label"] = True
    return made, "zero label", ["set reduce_zero_label=False", "road"]


@defect(16)
def value_out_of_range(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    (row, col), value = pixel(rng), int(rng.integers(4, 255))
    change(path, lambda a: a.__setitem__((row, col), value))
    return made, "range", [str(path), f"value {value} at (row {row}, col {col})"]


@defect(16)
def ids_wider_than_a_byte(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    value = int(rng.integers(256, 60_000))
    Image.fromarray(np.full((SIDE, SIDE), value, np.uint16)).save(path)
    return made, "encoding", [str(path), f"values {value} to {value}"]


@defect(16)
def grey_mask(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    change(path, lambda a: rng.integers(0, 255, a.shape).astype(np.uint8))
    return made, "encoding", [str(path), "different values"]


@defect(16)
def value_out_of_range_in_a_large_raster(root, rng):
    made = windows_set(root, rng)
    path = pick(made.labels("train"), rng)
    with rasterio.open(path) as raster:
        labels = raster.read()
    row, col = pixel(rng)
    labels[0, row, col] = 7
    rewrite(path, labels)
    return made, "range", [str(path), f"value 7 at (row {row}, col {col})"]


@defect(17)
def map_names_ids_of_before(root, rng):
    # id 3 is 2 by then: the map of 3 never meets it
    made = zero_label_set(root, rng)
    made.load.append({"type": "mmrs.MapLabels", "label_map": {3: 1}})
    return made, "zero label", ["label_map names id 3", "has moved it before"]


@defect(18)
def value_out_of_range_in_val(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("val"), rng)
    (row, col), value = pixel(rng), int(rng.integers(9, 255))
    change(path, lambda a: a.__setitem__((row, col), value))
    return made, "range", [str(path), f"value {value} at (row {row}, col {col})"]


@defect(19)
def colour_mask(root, rng):
    made = png_set(root, rng)
    path = pick(made.labels("train"), rng)
    change(path, lambda a: np.array(PALETTE, np.uint8)[a])
    return made, "colours", [str(path), "3 of its 3 colours", "mmrs.MapColors"]


@defect(19)
def unknown_colours(root, rng):
    made = colour_set(root, rng)
    path = pick(made.labels("train"), rng)
    row, col = pixel(rng)
    change(path, lambda a: a.__setitem__((row, col), (1, 2, 3)))
    return made, "colours", [str(path), "1 colours are not", f"(row {row}, col {col})"]


@pytest.mark.parametrize(("row", "name"), sorted(DEFECTS))
def test_every_defect_is_found(row, name, tmp_path):
    rng = np.random.default_rng([SEED, row, sum(name.encode())])
    made, kind, texts = DEFECTS[row, name](tmp_path, rng)
    report = check_dataset(made.config(), workers=2)
    lines = [f.line for f in report.findings if f.kind == kind and f.level != "note"]
    assert any(all(text in line for text in texts) for line in lines), report.text()
    for finding in report.findings:
        assert finding.error.where and finding.error.fix, "a line without its file or its mend"
        assert "\n" not in finding.line


def test_the_rows_are_covered():
    rows = {row for row, _ in DEFECTS}
    # 6 is the count of what is skipped, 11 and 12 are clean sets, 13 is about memory
    assert rows == {1, 2, 3, 4, 5, 7, 8, 9, 10, 14, 15, 16, 17, 18, 19}
    assert len(DEFECTS) >= 30


@pytest.mark.parametrize("name", clean_sets())
def test_nothing_is_found_in_a_clean_set(name, tmp_path):
    made: MadeSet = clean_sets()[name](tmp_path, np.random.default_rng([SEED, len(name)]))
    report = check_dataset(made.config(), workers=2)
    assert report.findings == [], report.text()
    assert sum(check.read for check in report.checks) == 6
    assert all(check.table.files for check in report.checks)


def test_there_are_ten_clean_sets():
    assert len(clean_sets()) >= 10
