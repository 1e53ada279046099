"""Real scenes into maps: MMRS_REAL_DATA=<folder> pytest -s, with this file.

Nothing of them is part of the project; without the folder this is skipped. MMRS_MAPS=<folder>
keeps maps, vectors and pictures to look at.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.channels.channel_files import contract_of_raster
from mmrs.apis.predict import predict_scene
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.geo.raster import Raster
from mmrs.geo.windows import plan_starts

FOLDER = os.environ.get("MMRS_REAL_DATA", "")
SCENES = {
    "8 bands of uint16": "geotiff/ftw_s2_8band_uint16.tif",
    "4 bands, nodata 0": "geotiff/naip_m_4709963_se_14_1_20140720.tif",
    "RGB, nodata 0": "geotiff/rasterio_RGB.byte.tif",
    "RGBA of uint16": "geotiff/rasterio_RGBA.uint16.tif",
    "int16, nodata -32768": "geotiff/riotiler_cog_int16.tif",
    "mosaic of uint16": "geotiff/riotiler_mosaic_cog1.tif",
    "panchromatic": "geotiff/solaris_spacenet_atlanta_pan_uint16.tif",
    "zurich": "zurich_summer/sat/14_north.tif",
    "10 bands": "s2_10band_landcover/data/imgs/1.tif",
}
WINDOW, STRIDE, CLASSES = 192, 96, 5

pytestmark = pytest.mark.skipif(not FOLDER, reason="MMRS_REAL_DATA names no folder")


class BrightnessModel:
    """Classes by how bright the neighbourhood is; its windows' borders differ from their middle."""

    classes = ("darkest", "dark", "medium", "bright", "brightest")
    palette = ((20, 20, 60), (60, 90, 60), (120, 140, 90), (200, 190, 120), (250, 250, 240))
    threshold = None
    window, stride = (WINDOW, WINDOW), (STRIDE, STRIDE)

    def __init__(self, contract: ChannelContract, edges: np.ndarray) -> None:
        self.contract = contract
        self.edges = edges.astype(np.float32)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        centres = np.concatenate([self.edges[:1], (self.edges[1:] + self.edges[:-1]) / 2,
                                  self.edges[-1:]])  # fmt: skip
        scores = []
        for window in windows:
            bright = cv2.blur(window.astype(np.float32).mean(axis=-1), (9, 9))
            # what lies far beyond the data, as nodata does, is next to the darkest or brightest
            spread = np.ptp(self.edges) + 1
            bright = bright.clip(self.edges[0] - spread, self.edges[-1] + spread)
            distance = np.abs(bright[None] - centres[:, None, None]) / spread
            score = np.exp(-8 * distance)
            scores.append(score / score.sum(axis=0))
        return np.stack(scores).astype(np.float32)


def make_model(path: Path) -> BrightnessModel:
    with Raster(path) as raster:
        pixels, valid = raster.read(), raster.read_valid()
        contract = contract_of_raster(raster)
    bright = pixels.astype(np.float64).mean(axis=-1)[valid]
    return BrightnessModel(contract, np.quantile(bright, [0.2, 0.4, 0.6, 0.8]))


def whole_scene(model: BrightnessModel, pixels: np.ndarray) -> np.ndarray:
    """Blended probabilities of a scene in memory, in float64."""
    height, width, _ = pixels.shape
    sides = min(WINDOW, height), min(WINDOW, width)
    bumps = [np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in sides]
    weights = np.outer(*bumps)
    sums, total = np.zeros((CLASSES, height, width)), np.zeros((height, width))
    for row in plan_starts(height, WINDOW, STRIDE):
        for col in plan_starts(width, WINDOW, STRIDE):
            area = slice(row, row + sides[0]), slice(col, col + sides[1])
            sums[(slice(None), *area)] += model(pixels[area][None])[0] * weights
            total[area] += weights
    return sums / total


def rio_info(path: Path) -> dict:
    command = [sys.executable, "-m", "rasterio.rio.main", "info", str(path)]
    rio = Path(sys.executable).with_name("rio")
    if rio.exists():
        command = [str(rio), "info", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_becomes_a_map_on_its_own_grid(name: str, tmp_path: Path) -> None:
    image = Path(FOLDER) / SCENES[name]
    folder = Path(os.environ.get("MMRS_MAPS") or tmp_path)
    out = folder / f"{image.stem}_map.tif"
    model = make_model(image)
    chosen = SceneOutputs(format="cog", confidence=True, score_dtype="uint16", overlay=True,
                           vectors=".gpkg", areas=True)  # fmt: skip
    written = predict_scene(image, out, model, outputs=chosen)
    print(f"\n{name}: {written.summary()}")
    before, after = rio_info(image), rio_info(out)
    for key in ("crs", "transform", "bounds", "width", "height", "lnglat", "res"):
        assert before[key] == after[key], key
    assert (after["nodata"], after["count"]) == (255, 1)
    with Raster(image) as raster:
        pixels, valid = raster.read(), raster.read_valid()
    if pixels.dtype.kind == "f":
        pixels[~np.isfinite(pixels)] = 0
    expected = whole_scene(model, pixels)
    with rasterio.open(out) as dataset:
        labels = dataset.read(1)
    np.testing.assert_array_equal(labels == 255, ~valid)
    clear = np.sort(expected, axis=0)
    clear = valid & (clear[-1] - clear[-2] > 1e-5)  # float32 sums may decide a tie either way
    # one of the scenes is of one value, so that every pixel is a tie
    assert clear.sum() > 0.99 * valid.sum() or not np.ptp(model.edges)
    np.testing.assert_array_equal(labels[clear], expected.argmax(axis=0)[clear])
    with rasterio.open(out.with_name(f"{out.stem}_confidence.tif")) as dataset:
        scores = dataset.read(1) * dataset.scales[0]
    np.testing.assert_allclose(scores[valid], expected.max(axis=0)[valid], atol=1e-4)
    meta, _, shapes, fields = pyogrio.raw.read(out.with_suffix(".gpkg"))
    columns = dict(zip(meta["fields"], fields, strict=True))
    with rasterio.open(out) as dataset:
        burnt = rasterize(
            zip(shapely.from_wkb(shapes), columns["class_id"], strict=True),
            out_shape=labels.shape, transform=dataset.transform, fill=255, dtype="uint8",
        )  # fmt: skip
        assert pyproj.CRS(meta["crs"]) == pyproj.CRS(dataset.crs)
    np.testing.assert_array_equal(burnt, labels)
    with open(out.with_name(f"{out.stem}_areas.csv"), newline="") as file:
        counted = [int(row["pixels"]) for row in csv.DictReader(file)][:CLASSES]
    assert counted == [(labels == index).sum() for index in range(CLASSES)]
    print(f"{len(shapes)} polygons, {columns['area_m2'].sum() / 1e6:.3f} km2")
