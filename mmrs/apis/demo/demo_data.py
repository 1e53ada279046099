"""The demo's data set: tiles in LoveDA's layout and encoding, and one large GeoTIFF scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from mmrs.apis.demo.demo_scene import GSD_M, Scene, make_scene, make_tiles
from mmrs.geo.maps.class_map import write_class_map
from mmrs.geo.raster import Georeference

CLASSES = ("background", "building", "road", "water", "barren", "forest", "agricultural")
PALETTE = (
    (255, 255, 255),
    (255, 0, 0),
    (255, 255, 0),
    (0, 0, 255),
    (159, 129, 183),
    (0, 255, 0),
    (255, 195, 128),
)
TILE_PX = 256
ORIGIN = (413_520.0, 5_327_940.0)  # UTM zone 33N


@dataclass(frozen=True)
class DemoSizes:
    """How much data the demo makes.

    Attributes:
        train_areas: Areas of 2 x 2 tiles to learn from.
        val_areas: Areas of 2 x 2 tiles to test on.
        scene_height: Rows of the scene.
        scene_width: Columns of the scene.
        tile_px: Side of a tile.
    """

    train_areas: int = 36
    val_areas: int = 6
    scene_height: int = 1200
    scene_width: int = 1500
    tile_px: int = TILE_PX


@dataclass(frozen=True)
class DemoData:
    """Where the demo's data lies.

    Attributes:
        root: LoveDA's tree: ``img_dir`` and ``ann_dir``, each with ``train`` and ``val``.
        scene: The GeoTIFF to predict.
        scene_labels: Its true class map, ids 0 to 6, 255 = nodata.
    """

    root: Path
    scene: Path
    scene_labels: Path

    def tiles(self, split: str) -> list[tuple[Path, Path]]:
        """Images and masks of ``train`` or ``val``, in order."""
        images = sorted((self.root / "img_dir" / split).glob("*.png"))
        return [(image, self.root / "ann_dir" / split / image.name) for image in images]


def make_demo_data(
    out: str | Path,
    *,
    seed: int = 0,
    sizes: DemoSizes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DemoData:
    """Make the data set; the same arguments give the same files.

    Training tiles, test tiles and the scene come from areas of different seeds: no pixel, field
    or house is shared.  Every tile is exposed on its own, so the light changes from one to the
    next.

    Args:
        out: Folder; files of the same names are replaced.
        seed: Of everything.
        sizes: How much.
        progress: Called with (done, total) areas.
    """
    out, sizes = Path(out), sizes or DemoSizes()
    data = DemoData(out / "tiles", out / "scene.tif", out / "scene_labels.tif")
    total = sizes.train_areas + sizes.val_areas + 1
    for stale in (out / "tiles").glob("*_dir/*/[0-9][0-9][0-9]_[0-3].png"):
        stale.unlink()  # of an earlier run with more areas
    # one stream of seeds, cut into three: nothing can occur twice
    seeds = np.random.SeedSequence(seed).generate_state(total)
    for index in range(total - 1):
        split = "train" if index < sizes.train_areas else "val"
        _write_area(data.root, split, index, int(seeds[index]), sizes.tile_px)
        if progress is not None:
            progress(index + 1, total)
    scene = make_scene(sizes.scene_height, sizes.scene_width, seed=int(seeds[-1]), nodata=True)
    _write_scene(data, scene)
    if progress is not None:
        progress(total, total)
    return data


def train_ids(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """LoveDA's mask values -> class indices: 0 (nodata) becomes 255, all others one less."""
    # uint8 wraps 0 - 1 to 255, which is just what nodata is to become
    return labels - np.uint8(1)


def _write_area(root: Path, split: str, index: int, seed: int, tile_px: int) -> None:
    # every fourth area has a wedge without data
    tiles = make_tiles(tile_px, seed=seed, nodata=index % 4 == 3)
    for kind in ("img_dir", "ann_dir"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    for part, tile in enumerate(tiles):
        name = f"{index:03d}_{part}.png"
        cv2.imwrite(str(root / "img_dir" / split / name), tile.image[..., ::-1])
        cv2.imwrite(str(root / "ann_dir" / split / name), tile.labels)


def _write_scene(data: DemoData, scene: Scene) -> None:
    height, width = scene.labels.shape
    transform = Affine(GSD_M, 0, ORIGIN[0], 0, -GSD_M, ORIGIN[1])
    crs = rasterio.crs.CRS.from_epsg(32633)
    with rasterio.open(
        data.scene,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=3,
        dtype="uint8",
        nodata=0,
        crs=crs,
        transform=transform,
        tiled=True,
        compress="deflate",
        photometric="RGB",
    ) as dataset:
        dataset.write(np.moveaxis(scene.image, -1, 0))
    with write_class_map(
        data.scene_labels,
        height=height,
        width=width,
        classes=CLASSES,
        palette=PALETTE,
        georeference=Georeference(crs, transform),
    ) as writer:
        writer.write_rows(train_ids(scene.labels))
