"""Channels of a config's data: files, pipelines, splits and the model agree, or it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import init_default_scope
from PIL import Image

from mmrs.apis.channels.channel_check import check_image_file
from mmrs.apis.channels.channel_config import loader_contract
from mmrs.apis.channels.channel_files import contract_of_raster
from mmrs.apis.check_dataset import check_dataset
from mmrs.apis.checks.channel_findings import expected_channels
from mmrs.apis.checks.data_files import quiet_pillow
from mmrs.apis.checks.pair_check import PairChecker
from mmrs.errors import DataError
from mmrs.geo.raster import Raster
from tests.apis.check_sets import geo_set, png_set
from tests.fake_data import make_geotiff
from tests.fuzz.mutants import make_mutant

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 20, 4)).astype(np.uint8)


class Bare:
    """As much of a data set as a look at its images needs."""

    metainfo = {"classes": ("a", "b"), "palette": [[0, 0, 0], [255, 0, 0]]}


def errors(made) -> list[str]:
    return [str(f.error) for f in check_dataset(made.config()).findings if f.level == "error"]


@pytest.mark.parametrize(
    ("picture", "fits"),
    [
        (Image.fromarray(PIXELS[..., :3]), True),
        (Image.fromarray(PIXELS[..., :3]).convert("P"), True),
        (Image.fromarray(PIXELS[..., 0]), False),
        (Image.fromarray(PIXELS[..., 0] > 9), False),
        (Image.fromarray(PIXELS[..., :2], "LA"), False),
        (Image.fromarray(PIXELS), False),
        (Image.fromarray(np.dstack([PIXELS[..., :3], np.full((20, 20), 255, np.uint8)])), True),
        (Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 99), False),
    ],
    ids=["rgb", "palette", "grey", "bits", "grey and alpha", "four", "opaque", "wide"],
)
def test_the_check_refuses_what_training_refuses(tmp_path: Path, picture, fits: bool) -> None:
    picture.save(tmp_path / "a.png")
    load = LoadImageFromFile()
    try:
        check_image_file(str(tmp_path / "a.png"), loader_contract(load))
        trains = True
    except DataError:
        trains = False
    result = PairChecker(Bare(), [load]).check({"img_path": str(tmp_path / "a.png")}, whole=True)
    assert trains == fits
    assert [finding.kind for finding in result.findings] == ([] if fits else ["bands"])


@pytest.mark.parametrize("stated", [True, False])
def test_a_backbone_of_other_channels_than_the_images_is_told(tmp_path: Path, stated: bool) -> None:
    # by the config, or by the backbone's default, which is 3
    made = geo_set(tmp_path, np.random.default_rng(0), bands=3 if stated else 4, dtype="uint16")
    number = 3 if stated else 4
    made.changes["model.data_preprocessor.mean"] = [100.0] * number
    made.changes["model.data_preprocessor.std"] = [50.0] * number
    made.changes["model.data_preprocessor.bgr_to_rgb"] = False
    made.changes["model.backbone.in_channels"] = 4
    if not stated:
        assert errors(made) == []
        del made.changes["model.backbone.in_channels"]
    found = errors(made)
    expected, given = (4, 3) if stated else (3, 4)
    assert found and all(
        line.startswith(f"model.backbone.in_channels: it is for {expected} channels")
        and f"gives {given}" in line
        for line in found
    )


def test_splits_that_read_their_bands_in_another_order_are_told(tmp_path: Path) -> None:
    made = geo_set(tmp_path, np.random.default_rng(0), bands=4, dtype="uint16")
    cfg = made.config()
    init_default_scope("mmseg")
    cfg.model.data_preprocessor.update(mean=[1.0] * 3, std=[1.0] * 3, bgr_to_rgb=False)
    cfg.model.backbone.in_channels = 3
    for split, bands in (("train", [4, 3, 2]), ("val", [2, 3, 4]), ("test", [4, 3, 2])):
        pipeline = cfg[f"{split}_dataloader"].dataset.pipeline
        pipeline[0] = dict(type="mmrs.LoadRaster", bands=bands)
    found = [str(f.error) for f in check_dataset(cfg).findings if f.level == "error"]
    assert len(found) == 1
    assert found[0].startswith("val_dataloader.dataset: val reads bands (2, 3, 4), but train bands")
    assert "(4, 3, 2)" in found[0]


def test_a_config_without_a_model_expects_nothing(tmp_path: Path) -> None:
    cfg = png_set(tmp_path, np.random.default_rng(0)).config()
    init_default_scope("mmseg")
    assert expected_channels(cfg) == [
        (3, "model.data_preprocessor.mean"), (3, "model.backbone.in_channels"),
    ]  # fmt: skip
    cfg.pop("model")
    assert expected_channels(cfg) == []
    assert check_dataset(cfg).count("error") == 0


@pytest.mark.parametrize("number", [207, 1152, 1351, 2695])
def test_damaged_headers_are_left_to_who_reads_them(tmp_path: Path, number: int) -> None:
    # found by the fuzz: transforms squeezed to a line, tags of no type
    mutant = make_mutant(77, number)
    (tmp_path / mutant.name).write_bytes(mutant.content)
    with quiet_pillow():
        check_image_file(str(tmp_path / mutant.name), loader_contract(LoadImageFromFile()))


def test_a_transform_squeezed_to_a_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    make_geotiff(path, size_px=(8, 8))
    with rasterio.open(path, "r+") as raster:
        raster.transform = rasterio.Affine(1e-309, 0, 500_000, 0, -1e-309, 5_400_000)
    with Raster(path) as raster, pytest.raises(DataError, match=r"a\.tif: .*degenerate"):
        contract_of_raster(raster)
