"""Miniature data sets in the layouts and encodings of the real ones, made from a seed.

Nothing here is meant to be learnt well: each class has its own colour plus noise, so that a few
steps of training move the loss, and every label id is present in every label map of 4 x 4 px or
more unless a caller asks otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import Affine

LOVEDA_IDS = tuple(range(8))  # 0 is no data
ISPRS_IDS = tuple(range(7))  # 0 is boundary
WHDLD_IDS = tuple(range(1, 7))


def make_labels(
    size_px: tuple[int, int], ids: Sequence[int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(H, W) uint8 of square patches; every id occurs where there is a patch for it."""
    height, width = size_px
    rows, cols = max(2, height // 8), max(2, width // 8)
    patches = rng.choice(np.asarray(ids, dtype=np.uint8), size=rows * cols)
    seats = rng.permutation(rows * cols)[: len(ids)]
    patches[seats] = np.asarray(ids, dtype=np.uint8)[: len(seats)]
    row = np.arange(height) * rows // height
    col = np.arange(width) * cols // width
    return patches.reshape(rows, cols)[row[:, None], col[None, :]]


def make_image(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: a colour for each id, with noise."""
    colors = np.random.default_rng(0).integers(40, 216, size=(256, 3))
    noise = rng.normal(0, 12, size=(*labels.shape, 3))
    return np.clip(colors[labels] + noise, 0, 255).astype(np.uint8)


def read_png(path: str | Path) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) uint8, as stored."""
    with Image.open(path) as file:
        return np.array(file)


def write_pair(
    image_path: Path,
    label_path: Path | None,
    *,
    size_px: tuple[int, int],
    ids: Sequence[int],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Write one image and, where a path is given, its label map; returns the label map."""
    labels = make_labels(size_px, ids, rng)
    image_path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(make_image(labels, rng)).save(image_path)
    if label_path is not None:
        label_path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(label_path)
    return labels


def make_loveda(
    root: Path,
    *,
    num_train: int = 4,
    num_val: int = 2,
    num_test: int = 2,
    size_px: tuple[int, int] = (64, 64),
    seed: int = 0,
) -> Path:
    """LoveDA as MMSegmentation prepares it: ``{img_dir,ann_dir}/{train,val}``, ``img_dir/test``.

    Labels are 0 (no data) and 1-7.
    """
    rng = np.random.default_rng(seed)
    number = 0
    for split, count in (("train", num_train), ("val", num_val), ("test", num_test)):
        for _ in range(count):
            label = None if split == "test" else root / "ann_dir" / split / f"{number}.png"
            image = root / "img_dir" / split / f"{number}.png"
            write_pair(image, label, size_px=size_px, ids=LOVEDA_IDS, rng=rng)
            number += 1
    return root


def make_isprs(
    root: Path,
    images: dict[str, Sequence[str]],
    *,
    num_tiles: int = 2,
    tile_px: int = 64,
    seed: int = 0,
) -> Path:
    """ISPRS tiles as MMSegmentation's converters write and name them.

    Args:
        root: Where ``img_dir`` and ``ann_dir`` go.
        images: Sub-folder -> ids of the images whose tiles lie there; the sub-folder ``""``
            makes the flat layout. Ids are such as ``2_10`` (Potsdam) or ``area1`` (Vaihingen).
        num_tiles: Tiles of each image.
        tile_px: Side of a tile.
        seed: Of the content.

    Returns:
        ``root``.
    """
    rng = np.random.default_rng(seed)
    for folder, ids in images.items():
        for image in ids:
            for tile in range(num_tiles):
                left, right = tile * tile_px, (tile + 1) * tile_px
                name = f"{image}_{left}_0_{right}_{tile_px}.png"
                write_pair(
                    root / "img_dir" / folder / name,
                    root / "ann_dir" / folder / name,
                    size_px=(tile_px, tile_px),
                    ids=ISPRS_IDS,
                    rng=rng,
                )
    return root


def make_whdld(
    root: Path,
    names: Sequence[str],
    *,
    encoding: str = "palette",
    palette: Sequence[Sequence[int]] = (),
    side_px: int = 32,
    seed: int = 0,
) -> Path:
    """WHDLD as distributed: ``Images/{name}.jpg`` and ``ImagesPNG/{name}.png``, labels 1-6.

    Args:
        root: Where the two folders go.
        names: Of the images, such as ``wh0001``.
        encoding: Of the labels: ``palette`` (ids with a palette), ``ids``, or ``colors``.
        palette: Colour of the ids from 1 on; not needed for ``ids``.
        side_px: Side of an image.
        seed: Of the content.

    Returns:
        ``root``.
    """
    rng = np.random.default_rng(seed)
    colors = np.array([(0, 0, 0), *palette], dtype=np.uint8)
    for folder in ("Images", "ImagesPNG"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        labels = make_labels((side_px, side_px), WHDLD_IDS, rng)
        Image.fromarray(make_image(labels, rng)).save(root / "Images" / f"{name}.jpg")
        stored = Image.fromarray(colors[labels] if encoding == "colors" else labels)
        if encoding == "palette":
            stored.putpalette(colors.ravel().tolist())
        stored.save(root / "ImagesPNG" / f"{name}.png")
    return root


def make_geotiff(
    path: Path,
    *,
    size_px: tuple[int, int] = (96, 128),
    bands: int = 3,
    dtype: str = "uint8",
    epsg: int | None = 32633,
    gsd_m: float = 0.3,
    nodata: float | None = None,
    nodata_columns: int = 0,
    seed: int = 0,
) -> NDArray:
    """A scene with a grid: the same colours as `make_image`, in any band count and type.

    Args:
        path: The file.
        size_px: Height and width.
        bands: Number of bands; beyond three they repeat.
        dtype: ``uint8``, or ``uint16`` / ``int16`` / ``float32``, in which values are x 16.
        epsg: Coordinate system; None for a file without one.
        gsd_m: Pixel size, in units of the coordinate system.
        nodata: Declared no-data value.
        nodata_columns: Columns at the left that hold it; needs ``nodata``.
        seed: Of the content.

    Returns:
        (bands, H, W), what was written.
    """
    if nodata_columns and nodata is None:
        raise ValueError(f"nodata_columns={nodata_columns} needs nodata")
    rng = np.random.default_rng(seed)
    image = make_image(make_labels(size_px, LOVEDA_IDS[1:], rng), rng)
    data = image.transpose(2, 0, 1)[np.arange(bands) % 3].astype(dtype)
    if dtype != "uint8":
        data *= 16
    if nodata_columns:
        data[:, :, :nodata_columns] = nodata
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "height": size_px[0],
        "width": size_px[1],
        "count": bands,
        "dtype": dtype,
        "nodata": nodata,
        "crs": None if epsg is None else CRS.from_epsg(epsg),
        "transform": Affine(gsd_m, 0.0, 500_000.0, 0.0, -gsd_m, 5_400_000.0),
    }
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(data)
    return data


def write_polygons(
    path: Path, shapes: Sequence[Any], columns: dict[str, Sequence[Any]], crs: str | None
) -> Path:
    """Polygons of Shapely in a GeoPackage, GeoJSON or Shapefile, as the suffix says."""
    import pyogrio
    import shapely

    driver = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}[path.suffix]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.raw.write(
            path,
            np.array([shapely.to_wkb(shape) for shape in shapes], dtype=object),
            [np.array(values) for values in columns.values()],
            list(columns),
            geometry_type=shapes[0].geom_type,
            crs=crs,
            driver=driver,
        )
    return path
