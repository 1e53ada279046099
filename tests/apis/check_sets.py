"""Small whole data sets of several kinds, for the tests of the checks: all of them are clean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import Affine

from mmrs.geo.raster import allow_missing_georeference
from tests.apis.tiny_run import PALETTE, tiny_config
from tests.fake_data import make_image, make_labels

SIDE = 32
TRANSFORM = Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 5_400_000.0)
COLOURS = np.array(PALETTE, dtype=np.uint8)


@dataclass
class MadeSet:
    """A data set on disk, and the config's keys that read it.

    Attributes:
        root: Its folder; ``img/<split>`` and ``ann/<split>``.
        image_suffix: With the dot.
        label_suffix: With the dot.
        changes: For ``tiny_config``.
        load: The loading steps.
    """

    root: Path
    image_suffix: str = ".png"
    label_suffix: str = ".png"
    changes: dict[str, Any] = field(default_factory=dict)
    load: list[dict] = field(
        default_factory=lambda: [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
    )

    def images(self, split: str) -> list[Path]:
        return sorted((self.root / "img" / split).glob("*" + self.image_suffix))

    def labels(self, split: str) -> list[Path]:
        return sorted((self.root / "ann" / split).glob("*" + self.label_suffix))

    def config(self) -> Any:
        from mmengine.config import Config

        cfg = Config(tiny_config(self.root))
        for split in ("train", "val", "test"):
            dataset = cfg[f"{split}_dataloader"].dataset
            dataset.img_suffix, dataset.seg_map_suffix = self.image_suffix, self.label_suffix
            dataset.pipeline = [*self.load, dict(type="PackSegInputs")]
            for key, value in self.changes.items():
                if key.startswith("dataset."):
                    dataset[key.partition(".")[2]] = value
        cfg.merge_from_dict({k: v for k, v in self.changes.items() if not k.startswith("dataset.")})
        return cfg


def write_raster(
    path: Path,
    pixels: NDArray[Any],
    *,
    epsg: int | None = 32633,
    transform: Affine | None = TRANSFORM,
    nodata: float | None = None,
) -> None:
    """(bands, H, W) as a GeoTIFF of tiles, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "count": pixels.shape[0],
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype.name,
        "nodata": nodata,
        "crs": None if epsg is None else CRS.from_epsg(epsg),
        "tiled": True,
        "blockxsize": 16,
        "blockysize": 16,
        "compress": "deflate",
    }
    if transform is not None:
        profile["transform"] = transform
    with allow_missing_georeference(), rasterio.open(path, "w", **profile) as raster:
        raster.write(pixels)


def each_pair(root: Path, rng: np.random.Generator, ids: tuple[int, ...], write: Callable) -> None:
    """Call ``write(image folder, label folder, stem, labels (H, W), picture (H, W, 3))``."""
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            labels = make_labels((SIDE, SIDE), ids, rng)
            folders = root / "img" / split, root / "ann" / split
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            write(*folders, f"t{index}", labels, make_image(labels, rng))


def png_set(root: Path, rng: np.random.Generator, ids: tuple[int, ...] = (0, 1, 2)) -> MadeSet:
    """8-bit RGB PNGs with ids."""

    def write(images: Path, anns: Path, stem: str, labels: NDArray, picture: NDArray) -> None:
        Image.fromarray(picture).save(images / f"{stem}.png")
        Image.fromarray(labels).save(anns / f"{stem}.png")

    each_pair(root, rng, ids, write)
    return MadeSet(root)


def jpeg_set(root: Path, rng: np.random.Generator) -> MadeSet:
    """JPEGs, and labels that are pictures with a palette."""

    def write(images: Path, anns: Path, stem: str, labels: NDArray, picture: NDArray) -> None:
        Image.fromarray(picture).save(images / f"{stem}.jpg", quality=90)
        indexed = Image.fromarray(labels)
        indexed.putpalette(COLOURS.ravel().tolist())
        indexed.save(anns / f"{stem}_mask.png")

    each_pair(root, rng, (0, 1, 2), write)
    return MadeSet(root, ".jpg", "_mask.png")


def geo_set(
    root: Path,
    rng: np.random.Generator,
    *,
    bands: int = 3,
    dtype: str = "uint8",
    epsg: int | None = 32633,
    nodata: float | None = None,
    keep: bool = False,
    label_suffix: str = ".tif",
) -> MadeSet:
    """GeoTIFFs read by `mmrs.LoadRaster`; where nodata is given, a corner holds it, unlabelled."""

    def write(images: Path, anns: Path, stem: str, labels: NDArray, picture: NDArray) -> None:
        pixels = picture.transpose(2, 0, 1)[np.arange(bands) % 3].astype(dtype)
        if nodata is not None:
            pixels[:, :5, :7] = nodata
            labels = labels.copy()
            labels[:5, :7] = 255
        write_raster(images / f"{stem}.tif", pixels, epsg=epsg, nodata=nodata)
        if label_suffix == ".tif":
            write_raster(anns / f"{stem}.tif", labels[None], epsg=epsg)
        else:
            Image.fromarray(labels).save(anns / f"{stem}{label_suffix}")

    each_pair(root, rng, (0, 1, 2), write)
    load = {"type": "mmrs.LoadRaster", **({"nodata": "keep"} if keep else {})}
    changes = {
        "model.data_preprocessor.mean": [100.0] * bands,
        "model.backbone.in_channels": bands,
        "model.data_preprocessor.std": [50.0] * bands,
        "model.data_preprocessor.bgr_to_rgb": False,
    }
    return MadeSet(root, ".tif", label_suffix, changes, [load, {"type": "LoadAnnotations"}])


def zero_label_set(root: Path, rng: np.random.Generator) -> MadeSet:
    """LoveDA's way: 0 is no data, 1 to 3 are the classes."""
    made = png_set(root, rng, (0, 1, 2, 3))
    made.changes["dataset.reduce_zero_label"] = True
    return made


def mapped_set(root: Path, rng: np.random.Generator) -> MadeSet:
    """Masks of 0 and 255, and the map that they need."""
    made = png_set(root, rng, (0, 255))
    made.load.append({"type": "mmrs.MapLabels", "label_map": {255: 1}})
    two_classes(made)
    return made


def two_classes(made: MadeSet) -> None:
    """Make the config of a set one of land and water."""
    made.changes["dataset.metainfo"] = {"classes": ("land", "water"), "palette": PALETTE[:2]}
    made.changes["model.decode_head.num_classes"] = 2


def colour_set(root: Path, rng: np.random.Generator) -> MadeSet:
    """Colour masks, and the colour map that they need."""

    def write(images: Path, anns: Path, stem: str, labels: NDArray, picture: NDArray) -> None:
        Image.fromarray(picture).save(images / f"{stem}.png")
        Image.fromarray(COLOURS[labels]).save(anns / f"{stem}.png")

    each_pair(root, rng, (0, 1, 2), write)
    made = MadeSet(root)
    made.load.append({"type": "mmrs.MapColors", "colors": [tuple(c) for c in PALETTE]})
    return made


def awkward_names_set(root: Path, rng: np.random.Generator) -> MadeSet:
    """Blanks, accents and suffixes inside folder names; some pixels ignored."""
    return png_set(root / "é 中 x" / "a.png.d", rng, (0, 1, 2, 255))


def listed_set(root: Path, rng: np.random.Generator) -> MadeSet:
    """One folder for all; lists of names divide it."""
    made = png_set(root, rng)
    for kind in ("img", "ann"):
        for split in ("train", "val"):
            for path in (root / kind / split).iterdir():
                path.rename(root / kind / f"{split}_{path.name}")
            (root / kind / split).rmdir()
    for split in ("train", "val"):
        names = [p.stem for p in (root / "img").glob(f"{split}_*")]
        (root / f"{split}.txt").write_text("\n".join(sorted(names)))
        for loader in (split, "test") if split == "val" else (split,):
            key = f"{loader}_dataloader.dataset"
            made.changes[f"{key}.ann_file"] = f"{split}.txt"
            made.changes[f"{key}.data_prefix"] = {"img_path": "img", "seg_map_path": "ann"}
    return made


def windows_set(root: Path, rng: np.random.Generator) -> MadeSet:
    """Large rasters read by windows, 16 bits with nodata that nobody has labelled as such."""
    made = geo_set(root, rng, dtype="uint16", nodata=0)
    made.load = []
    for split in ("train", "val", "test"):
        folder = "val" if split == "test" else split
        made.changes[f"{split}_dataloader.dataset"] = {
            "_delete_": True,
            "type": "mmrs.RasterSegDataset",
            "data_root": str(root),
            "images": f"img/{folder}",
            "labels": f"ann/{folder}",
            "window_sampler": {"type": "grid", "size": 24},
            "metainfo": {"classes": ("field", "water", "road"), "palette": PALETTE},
            "cache_dir": str(root / "cache"),
            "pipeline": [{"type": "PackSegInputs"}],
        }
    return made


def clean_sets() -> dict[str, Callable[[Path, np.random.Generator], MadeSet]]:
    """Makers of data sets in which there is nothing to find."""
    return {
        "png": png_set,
        "jpeg and palette": jpeg_set,
        "geotiff": geo_set,
        "geotiff uint16 4 bands, png labels": lambda root, rng: geo_set(
            root, rng, bands=4, dtype="uint16", label_suffix=".png"
        ),
        "float32 12 bands without CRS": lambda root, rng: geo_set(
            root, rng, bands=12, dtype="float32", epsg=None
        ),
        "nodata that is ignored": lambda root, rng: geo_set(
            root, rng, dtype="int16", nodata=-9999, keep=True
        ),
        "zero label": zero_label_set,
        "0 and 255, mapped": mapped_set,
        "colours, mapped": colour_set,
        "awkward names": awkward_names_set,
        "lists of names": listed_set,
        "windows of rasters": windows_set,
    }
