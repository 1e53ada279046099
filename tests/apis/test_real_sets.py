"""Real data sets, looked at by hand: MMRS_REAL_DATA=<folder> pytest -s, with this file.

Nothing of them is part of the project; without the folder this is skipped. MMRS_SHEETS=<folder>
keeps the contact sheets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmrs.apis.check_dataset import check_dataset

FOLDER = os.environ.get("MMRS_REAL_DATA", "")
COVER = ["background", "building", "vegetation", "water", "road"]
ISPRS = ["impervious", "building", "low vegetation", "tree", "car"]
LOVEDA = ["background", "building", "road", "water", "barren", "forest", "agricultural"]
LOAD: list[dict] = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
TO_1 = {"type": "mmrs.MapLabels", "label_map": {255: 1}}
# name -> images, labels (below the folder), suffixes, classes, loading steps, other keys, and what
# has to be found: nothing, or the kinds of the errors
SETS: dict[str, tuple[str, str, str, str, list[str], list[dict], dict[str, Any], set[str]]] = {
    "googlemap": (
        *("googlemap_landcover/data/imgs", "googlemap_landcover/data/masks"),
        *(".jpg", ".png", COVER, LOAD, {}, set()),
    ),
    "potsdam": (
        *("isprs_potsdam/img_dir", "isprs_potsdam/ann_dir"),
        *(".png", ".png", ISPRS, LOAD, {"reduce_zero_label": True}, set()),
    ),
    "vaihingen": (
        *("isprs_vaihingen/img_dir", "isprs_vaihingen/ann_dir"),
        *(".png", ".png", ISPRS, LOAD, {"reduce_zero_label": True}, set()),
    ),
    "loveda": (
        *("loveda/img_dir", "loveda/ann_dir"),
        *(".png", ".png", LOVEDA, LOAD, {"reduce_zero_label": True}, set()),
    ),
    "water 12 bands": (
        *("water_multispectral_12band/data/images", "water_multispectral_12band/data/labels"),
        *(".tif", ".png", ["land", "water"]),
        *([{"type": "mmrs.LoadRaster"}, LOAD[1]], {}, set()),
    ),
    "kampala": (
        *("oam_buildings/kampala_geotiff/chips", "oam_buildings/kampala_geotiff/binarymasks"),
        *(".tif", ".mask.tif", ["ground", "building"], LOAD, {}, set()),
    ),
    "zanzibar unmapped": (
        *("oam_buildings/zanzibar/data", "oam_buildings/zanzibar/labels"),
        *(".png", ".tif", ["ground", "building"], LOAD, {}, {"encoding"}),
    ),
    "zanzibar": (
        *("oam_buildings/zanzibar/data", "oam_buildings/zanzibar/labels"),
        *(".png", ".tif", ["ground", "building"], [*LOAD, TO_1], {}, set()),
    ),
    "flood": (
        *("flood_area/Image", "flood_area/Mask"),
        *(".jpg", ".png", ["dry", "flood"], [*LOAD, TO_1], {}, {"encoding"}),
    ),
    "flood sizes": (
        *("flood_area_size_mismatch/Image", "flood_area_size_mismatch/Mask"),
        *(".jpg", ".png", ["dry", "flood"], [*LOAD, TO_1], {}, {"size"}),
    ),
    "cloud shadow": (
        *("cloud_shadow/data/train/cloudshadow", "cloud_shadow/data/train/labels"),
        *(".png", ".png", ["void", "cloud", "shadow"], LOAD, {}, {"colours"}),
    ),
}


@pytest.mark.skipif(not FOLDER, reason="set MMRS_REAL_DATA to the folder of real data sets")
@pytest.mark.parametrize("name", SETS)
def test_what_is_found_in_real_data(name, tmp_path):
    images, labels, image_suffix, label_suffix, classes, load, keys, expected = SETS[name]
    dataset = {
        "type": "BaseSegDataset",
        "data_root": FOLDER,
        "data_prefix": {"img_path": images, "seg_map_path": labels},
        "img_suffix": image_suffix,
        "seg_map_suffix": label_suffix,
        "metainfo": {"classes": classes},
        "pipeline": [*load, {"type": "PackSegInputs"}],
        **keys,
    }
    cfg = Config({"train_dataloader": {"dataset": dataset}})
    out = os.environ.get("MMRS_SHEETS")
    sheet = Path(out or tmp_path) / f"{name.replace(' ', '_')}.png"
    report = check_dataset(cfg, out=sheet)
    print(f"\n===== {name}\n{report.text()}")
    assert {f.kind for f in report.findings if f.level == "error"} >= expected
    if not expected:
        assert not report.count("error"), report.text()
    assert sheet.stat().st_size > 10_000
