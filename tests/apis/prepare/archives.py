"""Miniatures of official archives: true names, nesting, encodings and oddities; made-up pixels."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from mmrs.geo.raster import allow_missing_georeference
from tests.fake_data import make_image, make_labels

ISPRS_COLOURS = np.array(
    [
        *[(0, 0, 0), (255, 255, 255), (0, 0, 255), (0, 255, 255)],
        *[(0, 255, 0), (255, 255, 0), (255, 0, 0)],
    ],
    dtype=np.uint8,
)
POTSDAM_UTM = CRS.from_epsg(32633)


def png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> bytes:
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(palette.ravel().tolist())
    return _saved(picture, "PNG")


def jpg(pixels: NDArray[np.uint8]) -> bytes:
    return _saved(Image.fromarray(pixels), "JPEG")


def tif(
    pixels: NDArray,
    *,
    transform: Affine | None = None,
    crs: CRS | None = None,
    nodata: float | None = None,
) -> bytes:
    """A GeoTIFF of (H, W) or (H, W, bands)."""
    bands = np.atleast_3d(pixels)
    with allow_missing_georeference(), MemoryFile(ext=".tif") as memory:
        with memory.open(
            driver="GTiff", height=bands.shape[0], width=bands.shape[1], count=bands.shape[2],
            dtype=bands.dtype, crs=crs, nodata=nodata,
            **({"transform": transform} if transform else {}),
            photometric="RGB" if bands.shape[2] == 3 else "MINISBLACK", compress="lzw",
        ) as dataset:  # fmt: skip
            dataset.write(np.moveaxis(bands, -1, 0))
        return bytes(memory.read())


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def write_files(root: Path, members: Mapping[str, bytes]) -> Path:
    for name, data in members.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def loveda_members(
    rng: np.random.Generator, *, size: int = 32, per_half: int = 2
) -> dict[str, dict[str, bytes]]:
    """``Train.zip`` ... -> members; masks are one band, 0 is no data; names never repeat."""
    number = 0
    archives: dict[str, dict[str, bytes]] = {}
    for folder in ("Train", "Val", "Test"):
        members: dict[str, bytes] = {}
        for half in ("Rural", "Urban"):
            for _ in range(per_half):
                labels = make_labels((size, size), range(8), rng)
                members[f"{folder}/{half}/images_png/{number}.png"] = png(make_image(labels, rng))
                if folder != "Test":
                    members[f"{folder}/{half}/masks_png/{number}.png"] = png(labels)
                number += 1
        archives[f"{folder}.zip"] = members
    return archives


def make_loveda_zips(root: Path, *, size: int = 32, per_half: int = 2, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    archives = loveda_members(rng, size=size, per_half=per_half)
    return write_files(root, {name: zip_bytes(members) for name, members in archives.items()})


def potsdam_members(
    ids: Sequence[str], rng: np.random.Generator, *, size: int = 48
) -> tuple[dict[str, dict[str, bytes]], dict[str, NDArray[np.uint8]]]:
    """Archives by name, and the full labels (1 to 6) by image.

    As in the original: world files, labels as RGB at the root of their zips, a surface model with
    zero-padded names and, for 3_13, without the last column; 4_12's labels have 252 for 255.
    """
    archives: dict[str, dict[str, bytes]] = {
        name: {}
        for name in (
            "1_DSM.zip", "2_Ortho_RGB.zip", "3_Ortho_IRRG.zip", "4_Ortho_RGBIR.zip",
            "5_Labels_all.zip", "5_Labels_all_noBoundary.zip",
        )
    }  # fmt: skip
    truth = {}
    for index, image_id in enumerate(ids):
        labels = make_labels((size, size), range(1, 7), rng)
        truth[image_id] = labels
        place = Affine(0.05, 0, 366_000 + 0.05 * size * index, 0, -0.05, 5_808_000)
        grid = {"transform": place, "crs": POTSDAM_UTM}
        image = make_image(labels, rng)
        four = np.concatenate([image, image[..., :1] // 2], axis=-1)
        stem = f"top_potsdam_{image_id}"
        world = "\n".join(map(str, (0.05, 0, 0, -0.05, place.c, place.f))).encode()
        archives["2_Ortho_RGB.zip"] |= {
            f"2_Ortho_RGB/{stem}_RGB.tif": tif(image, **grid),
            f"2_Ortho_RGB/{stem}_RGB.tfw": world,
        }
        archives["3_Ortho_IRRG.zip"][f"3_Ortho_IRRG/{stem}_IRRG.tif"] = tif(image[..., ::-1])
        archives["4_Ortho_RGBIR.zip"][f"4_Ortho_RGBIR/{stem}_RGBIR.tif"] = tif(four, **grid)
        colours = ISPRS_COLOURS[labels]
        if image_id == "4_12":
            colours = np.where(colours == 255, np.uint8(252), colours)
        archives["5_Labels_all.zip"] |= {f"{stem}_label.tif": tif(colours, **grid)}
        archives["5_Labels_all_noBoundary.zip"] |= {
            f"{stem}_label_noBoundary.tif": tif(ISPRS_COLOURS[eroded(labels)], **grid)
        }
        row, col = (int(part) for part in image_id.split("_"))
        height = rng.normal(40, 5, (size, size)).astype(np.float32)
        if image_id == "3_13":
            height = height[:, :-1]
        archives["1_DSM.zip"][f"1_DSM/dsm_potsdam_{row:02d}_{col:02d}.tif"] = tif(height)
    return archives, truth


def make_potsdam(root: Path, ids: Sequence[str], *, size: int = 48, nested: bool = True):
    """``Potsdam.zip`` that holds the six zips, or those beside each other."""
    archives, truth = potsdam_members(ids, np.random.default_rng(0), size=size)
    inner = {name: zip_bytes(members) for name, members in archives.items()}
    if nested:
        outer = {f"Potsdam/{name}": data for name, data in inner.items()}
        outer["Potsdam/6_Labels_for_participants_no_Boundary.zip"] = b"not needed, not opened"
        inner = {"Potsdam.zip": zip_bytes(outer)}
    return write_files(root, inner), truth


def make_vaihingen(root: Path, areas: Sequence[int], *, size: tuple[int, int] = (40, 56)):
    """The images' zip with part of the labels, the complete labels, and the eroded ones.

    As in the original: images and full labels share their names, and the eroded labels have an
    area 9 that no image has.
    """
    rng = np.random.default_rng(1)
    images: dict[str, bytes] = {}
    full: dict[str, bytes] = {}
    seams: dict[str, bytes] = {}
    truth = {}
    for area in areas:
        labels = make_labels(size, range(1, 7), rng)
        truth[f"area{area}"] = labels
        name = f"top_mosaic_09cm_area{area}.tif"
        coloured = tif(ISPRS_COLOURS[labels])
        images[f"top/{name}"] = tif(make_image(labels, rng))
        images[f"dsm/dsm_09cm_matching_area{area}.tif"] = tif(labels.astype(np.float32))
        if area % 2:
            images[f"gts_for_participants/{name}"] = coloured
        full[name] = coloured
        seams[name.replace(".tif", "_noBoundary.tif")] = tif(ISPRS_COLOURS[eroded(labels)])
    seams["top_mosaic_09cm_area9_noBoundary.tif"] = next(iter(seams.values()))
    head = "ISPRS_semantic_labeling_Vaihingen"
    write_files(
        root,
        {
            f"{head}.zip": zip_bytes(images),
            f"{head}_ground_truth_COMPLETE.zip": zip_bytes(full),
            f"{head}_ground_truth_eroded_COMPLETE.zip": zip_bytes(seams),
        },
    )
    return root, truth


def eroded(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels with 0 wherever a neighbour differs."""
    padded = np.pad(labels, 1, mode="edge")
    same = np.ones(labels.shape, dtype=bool)
    for row, col in ((0, 1), (2, 1), (1, 0), (1, 2)):
        height, width = labels.shape
        same &= padded[row : row + height, col : col + width] == labels
    return np.where(same, labels, 0).astype(np.uint8)


def mapillary_table(count: int = 66) -> dict[str, object]:
    """A table of classes as in ``config_v1.2.json``; the last one is void."""
    labels = [
        {
            "color": [index, 255 - index, index * 7 % 256],
            "instances": index % 2 == 0,
            "readable": "Unlabeled" if index == count - 1 else f"Thing {index}",
            "name": "void--unlabeled" if index == count - 1 else f"object--thing-{index}",
            "evaluate": index != count - 1,
        }
        for index in range(count)
    ]
    return {"labels": labels, "version": "1.2", "mapping": "public", "folder_structure": "x"}


def make_mapillary(root: Path, *, release: str = "v2.0", names: Sequence[str] = ("a-_B1",)):
    """One zip: 2.0 has a folder for each version, 1.1 has none."""
    rng = np.random.default_rng(2)
    table = mapillary_table()
    palette = np.array([entry["color"] for entry in table["labels"]], dtype=np.uint8)
    members: dict[str, bytes] = {"README": b"", "demo.py": b""}
    members["config_v1.2.json" if release == "v2.0" else "config.json"] = json.dumps(table).encode()
    truth = {}
    for part in ("training", "validation"):
        for name in names:
            labels = make_labels((32, 48), range(66), rng)
            truth[part, name] = labels
            members[f"{part}/images/{name}.jpg"] = jpg(make_image(labels, rng))
            folder = f"{part}/v1.2" if release == "v2.0" else part
            members[f"{folder}/labels/{name}.png"] = png(labels, palette)
            members[f"{folder}/instances/{name}.png"] = png(labels)
            if release == "v2.0":
                members[f"{part}/v2.0/labels/{name}.png"] = png(labels + 1)
    members["testing/images/t.jpg"] = jpg(np.zeros((8, 8, 3), np.uint8))
    name = "mapillary-vistas-dataset_public_v2.0.zip" if release == "v2.0" else "vistas_v1.1.zip"
    return write_files(root, {name: zip_bytes(members)}), truth


def _saved(picture: Image.Image, kind: str) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind)
    return content.getvalue()
