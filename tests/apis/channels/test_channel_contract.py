"""The contract as a value: from files and configs, to and from a checkpoint, and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from PIL import Image
from rasterio.enums import ColorInterp

from mmrs.apis.channels.channel_check import (
    FileWatch,
    check_label_file,
    run_contract,
    source_bands,
)
from mmrs.apis.channels.channel_config import read_contract
from mmrs.apis.channels.channel_contract import (
    META_KEY,
    ChannelContract,
    check_same_channels,
    differences,
    gsd_warning,
    name_warning,
)
from mmrs.apis.channels.channel_files import contract_of_raster, open_image
from mmrs.compat import safe_load_checkpoint
from mmrs.datasets.million_aid import MillionAIDDataset
from mmrs.errors import CheckpointError, DataError, LabelError
from mmrs.geo.raster import Raster
from mmrs.geo.scaling import BandScaling
from tests.apis.tiny_run import tiny_config

NAMES = ("red", "green", "blue", "nir")
SCALING = BandScaling("minmax", (0.0, 1.0, 2.0, 3.0), (10.0, 20.0, 30.0, 40.0), clip=True)
WHOLE = ChannelContract(
    bands=4, dtype="uint16", file_bands=(1, 2, 3, 4), band_names=NAMES, scaling=SCALING,
    mean=(0.1, 0.2, 0.3, 0.4), std=(1.0, 1.0, 1.0, 1.0), gsd_m=(0.3, 0.3),
)  # fmt: skip


def write(
    path: Path, bands: int, dtype: str, *, names=(), colours=None, gsd_m: float = 0.3, fill=None
) -> Path:
    pixels = np.random.default_rng(0).integers(1, 120, (bands, 16, 16)).astype(dtype)
    if fill is not None:
        pixels[-1] = fill
    with rasterio.open(
        path, "w", driver="GTiff", height=16, width=16, count=bands, dtype=dtype,
        photometric="MINISBLACK", crs="EPSG:32633",
        transform=rasterio.Affine(gsd_m, 0, 5e5, 0, -gsd_m, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(pixels)
        if names:
            dataset.descriptions = names
        dataset.colorinterp = colours or [ColorInterp.undefined] * bands
    return path


def of_file(path: Path) -> ChannelContract:
    with Raster(path) as raster:
        return contract_of_raster(raster)


def test_a_checkpoint_gives_back_what_was_written(tmp_path: Path) -> None:
    torch.save({"meta": {META_KEY: WHOLE.to_meta()}}, tmp_path / "a.pth")
    meta = safe_load_checkpoint(tmp_path / "a.pth")["meta"]
    assert ChannelContract.from_meta(meta, where="a.pth") == WHOLE
    assert ChannelContract.from_meta({}, where="a.pth") is None


@pytest.mark.parametrize("value", [3, {"bands": 3, "colour": 1}, {"scaling": {"kind": "log"}}])
def test_a_damaged_contract_is_told(value) -> None:
    with pytest.raises(CheckpointError, match=r"a\.pth: its channel_contract is damaged"):
        ChannelContract.from_meta({META_KEY: value}, where="a.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": 3, "band_names": ()}, "4 bands of uint16; this run has 3 bands of uint16"),
        ({"dtype": "uint8"}, "4 bands of uint16; this run has 4 bands of uint8"),
        (
            {"band_names": ("blue", "green", "red", "nir")},
            r"\(red, green, blue, nir\) of uint16; this run has 4 bands \(blue, green, red, nir\)",
        ),
        ({"band_names": ("red", "green", "blue", "swir1")}, r"nir\) .* swir1\)"),
        (
            {"file_bands": (4, 3, 2, 1), "band_names": ()},
            r"bands \(1, 2, 3, 4\) of the file, in this order; this run has bands \(4, 3, 2, 1\)",
        ),
        (
            {"order": "reversed", "band_names": ()},
            r"bands \(1, 2, 3, 4\) of the file, in this order; this run has bands \(4, 3, 2, 1\)",
        ),
        (
            {"scaling": replace(SCALING, clip=False)},
            "values scaled by .* this run has values scaled",
        ),
        ({"scaling": None}, "values scaled by minmax .* this run has values as in the file"),
        ({"mean": (0.1, 0.2, 0.3, 0.5)}, r"mean \(0\.1, 0\.2, 0\.3, 0\.4\); .* 0\.5\)"),
        ({"std": ()}, r"std \(1, 1, 1, 1\); this run has std \(\)"),
    ],
)
def test_every_difference_is_refused_with_both_sides(change: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^a\.pth: trained on .*{message}.* Fix: mend it$"):
        check_same_channels(WHOLE, replace(WHOLE, **change), where="a.pth", fix="mend it")


@pytest.mark.parametrize("factor", [1e-7, 1.0, 1e7])
def test_numbers_are_compared_by_their_own_size(factor: float) -> None:
    base = np.array([2.0, 3.0]) * factor
    scaled = [BandScaling("meanstd", (0.0, 0.0), tuple(base * s), clip=False) for s in (1, 1.5)]
    moved = BandScaling("meanstd", tuple(base), tuple(base), clip=False)
    one = ChannelContract(2, scaling=scaled[0])
    assert not differences(one, replace(one, scaling=replace(scaled[0], kind="minmax")))
    assert differences(one, replace(one, scaling=scaled[1]))
    assert differences(one, replace(one, scaling=moved))
    far = ChannelContract(2, mean=(1e3 * factor, 2e3 * factor), std=tuple(base))
    assert not differences(far, replace(far, mean=tuple(m + 1e-4 * factor for m in far.mean)))
    assert differences(far, replace(far, mean=tuple(m + factor for m in far.mean)))
    assert differences(far, replace(far, std=tuple(base * 1.01)))


@pytest.mark.parametrize(
    "change",
    [
        {}, {"bands": None, "file_bands": None}, {"dtype": None}, {"band_names": ()},
        {"gsd_m": (0.6, 0.6)}, {"scaling": None, "scaling_known": False},
        {"mean": tuple(v + 1e-9 for v in WHOLE.mean)}, {"std": (1.0,)},
        # the same numbers, computed once more
        {"scaling": replace(SCALING, divisor=(10.0000001, 20.0, 30.0, 40.0), kind="percentile")},
        {"band_names": ("Red", "GREEN", "blue", " nir")},
        {"band_names": ("Band 1 of strip 7", "b", "c", "d")},
        # the same bands from a file that holds only them
        {"file_bands": (5, 3, 2, 8)},
        {"order": "reversed", "swaps": True},
    ],
)  # fmt: skip
def test_what_is_unknown_or_equal_passes(change: dict) -> None:
    check_same_channels(WHOLE, replace(WHOLE, **change), where="a.pth", fix="")


def test_colours_marked_by_a_file_are_weaker_than_names() -> None:
    marked = ChannelContract(3, band_names=("red", "green", "blue"), names_from_colours=True)
    named = ChannelContract(3, band_names=("nir", "red", "green"))
    # infrared pictures are marked as red, green and blue by most writers
    check_same_channels(marked, named, where="a.pth", fix="")
    assert "nir, red, green" in (name_warning(marked, named) or "")
    turned = replace(marked, band_names=("blue", "green", "red"))
    with pytest.raises(CheckpointError, match="blue, green, red"):
        check_same_channels(marked, turned, where="a.pth", fix="")


@pytest.mark.parametrize(
    ("gsd_m", "warned"),
    [
        ((0.3, 0.3), False), ((0.314, 0.286), False), ((0.317, 0.3), True), ((0.3, 0.28), True),
        (None, False),
    ],
)  # fmt: skip
def test_a_pixel_of_another_size_is_warned_of_from_5_percent(gsd_m, warned: bool) -> None:
    told = gsd_warning(WHOLE, replace(WHOLE, gsd_m=gsd_m))
    assert (told is not None) == warned
    if warned:
        assert "the model was trained at 0.3 m" in told


def test_a_file_says_bands_type_names_and_pixel_size(tmp_path: Path) -> None:
    found = of_file(write(tmp_path / "a.tif", 4, "uint16", names=NAMES, gsd_m=0.5))
    assert found == ChannelContract(4, "uint16", band_names=NAMES, gsd_m=(0.5, 0.5))
    colours = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    found = of_file(write(tmp_path / "b.tif", 3, "uint8", colours=colours))
    assert found.band_names == ("blue", "green", "red") and found.names_from_colours


def test_infrared_marked_as_transparency_is_a_band_and_transparency_is_none(tmp_path: Path) -> None:
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    infrared = write(tmp_path / "a.tif", 4, "uint8", colours=colours)
    assert of_file(infrared).bands == 4
    fill = np.repeat([[0], [255]], 8, axis=0)
    masked = write(tmp_path / "b.tif", 4, "uint8", colours=colours, fill=fill)
    assert of_file(masked).bands == 3
    # and a model of four bands reads it
    with open_image(infrared, ChannelContract(4, "uint8")) as raster:
        assert raster.count == 4
    with open_image(infrared, ChannelContract(3, "uint8")) as raster:
        assert raster.count == 3


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 3, 4, 12])
def test_files_that_opencv_would_cast_are_refused(tmp_path: Path, bands: int, dtype: str) -> None:
    path = write(tmp_path / "a.tif", bands, dtype)
    watch = FileWatch(expected=ChannelContract(3, "uint8", "reversed"), labels=False)
    sample = {"img_path": str(path)}
    if (bands, dtype) == (3, "uint8"):
        assert watch(sample) is sample
        return
    message = rf"a\.tif: {bands} bands? of {dtype} found, 3 bands of uint8 expected\. Fix: load"
    with pytest.raises(DataError, match=message):
        watch(sample)


def test_each_file_is_looked_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", 3, "uint8")
    watch = FileWatch(expected=ChannelContract(3, "uint8"), labels=True)
    sample = {"img_path": str(path), "seg_map_path": str(path)}
    watch(sample)
    write(path, 12, "uint8")
    watch(sample)
    # a picture of the network drive, or a label that is not a file, passes
    watch({"img_path": "s3://bucket/a.tif"})


def test_labels_that_fit_no_byte_are_refused(tmp_path: Path) -> None:
    ids = np.zeros((4, 5), np.uint16)
    Image.fromarray(ids + 255).save(tmp_path / "fits.png")
    check_label_file(str(tmp_path / "fits.png"))
    ids[1, 4] = 300
    Image.fromarray(ids).save(tmp_path / "a.png")
    with pytest.raises(LabelError, match=r"a\.png: value 300 at \(row 1, col 4\).*LoadAnnotations"):
        check_label_file(str(tmp_path / "a.png"))


def test_million_aid_says_its_bands_whatever_its_pictures_hold(tmp_path: Path) -> None:
    for name, shape in (("a", (8, 8, 3)), ("grey", (8, 8))):
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / f"{name}.png")
    cfg = Config(tiny_config(tmp_path))
    cfg.model.data_preprocessor = {"type": "mmrs.SelfSupDataPreProcessor", "mean": [1, 2, 3]}
    cfg.train_dataloader.dataset = {"type": "mmrs.MillionAIDDataset", "pipeline": []}
    dataset = MillionAIDDataset(data_root=str(tmp_path), size=8, pipeline=[])
    assert len(dataset) == 2
    expected = ChannelContract(3, mean=(1, 2, 3))
    assert run_contract(cfg, "train", dataset) == expected
    assert expected.network_bands == (1, 2, 3)


def test_a_config_says_what_its_raster_data_set_reads(tmp_path: Path) -> None:
    cfg = Config(tiny_config(tmp_path))
    cfg.model.data_preprocessor = {
        "type": "mmrs.SegDataPreProcessor", "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0],
    }  # fmt: skip
    dataset = {"type": "mmrs.RasterSegDataset", "images": "a", "bands": [4, 3, 2],
               "scaling": {"type": "minmax", "images": "a"}, "pipeline": []}  # fmt: skip
    cfg.train_dataloader.dataset = {"type": "RepeatDataset", "times": 2, "dataset": dataset}
    assert read_contract(cfg, "train") == ChannelContract(
        3, file_bands=(4, 3, 2), scaling_known=False, mean=(1, 2, 3), std=(4, 5, 6),
        fills_gaps=True,
    )  # fmt: skip
    # the test pipeline is another: MMSegmentation's loader, which hands bands over reversed
    assert read_contract(cfg).network_bands == (3, 2, 1)


@pytest.mark.parametrize(
    ("now", "trained", "expected"),
    [
        (NAMES, None, [0, 1, 2, None]),
        (("nir", "red", "green"), None, [None, 0, 1]),
        (("B2", "B3"), None, None),
        ((), None, None),
        (("nir", "red"), ("red", "nir", "swir1", "vv"), [1, 0]),
    ],
)
def test_names_tell_which_filter_a_band_knows(now, trained, expected) -> None:
    old = None if trained is None else ChannelContract(len(trained), band_names=trained)
    assert source_bands(ChannelContract(len(now), band_names=now), old) == expected
