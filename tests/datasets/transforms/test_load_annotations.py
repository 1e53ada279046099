"""Wide label ids survive until they are mapped; what fits no byte is told with its pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations as Stock
from PIL import Image

from mmrs.datasets.transforms import LoadAnnotations
from mmrs.errors import ConfigError, LabelError
from mmrs.registry import TRANSFORMS


def write(path: Path, ids: np.ndarray) -> Path:
    Image.fromarray(ids).save(path)
    return path


def load(step, path: Path, **info) -> np.ndarray:
    info = {"reduce_zero_label": False, "seg_fields": [], "seg_map_path": str(path), **info}
    return step(info)["gt_seg_map"]


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_wide_ids_are_mapped_as_they_are_stored(tmp_path: Path, dtype: str) -> None:
    ids = np.array([[111, 523, 300], [256, 0, 523]]).astype(dtype)
    path = write(tmp_path / "a.tif", ids)
    step = LoadAnnotations(label_map={111: 0, 523: 1, 300: 2, 256: 255, 0: 3})
    found = load(step, path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[0, 1, 2], [255, 3, 1]])
    # the control: the stock class makes 256 a 0 and 300 a 44
    if dtype == "uint16":
        np.testing.assert_array_equal(load(Stock(), path), ids.astype(np.uint8))


def test_ids_can_be_swapped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.array([[1, 2, 3]], np.uint8))
    found = load(LoadAnnotations(label_map={1: 2, 2: 1}), path)
    np.testing.assert_array_equal(found, [[2, 1, 3]])


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_an_id_that_fits_no_byte_is_told_with_its_pixel(tmp_path: Path, dtype: str) -> None:
    ids = np.zeros((4, 5), dtype)
    ids[2, 3] = 300
    path = write(tmp_path / "a.tif", ids)
    with pytest.raises(LabelError, match=r"a\.tif: value 300 at \(row 2, col 3\).*300: 255"):
        load(LoadAnnotations(), path)


def test_negative_ids_and_fractions_are_told(tmp_path: Path) -> None:
    negative = write(tmp_path / "a.tif", np.array([[0, -1]], np.int32))
    with pytest.raises(LabelError, match=r"value -1 at \(row 0, col 1\)"):
        load(LoadAnnotations(), negative)
    assert load(LoadAnnotations(label_map={-1: 255}), negative).tolist() == [[0, 255]]
    half = write(tmp_path / "b.tif", np.array([[0, 0.5]], np.float32))
    with pytest.raises(LabelError, match=r"value 0\.5 at \(row 0, col 1\) is no whole number"):
        load(LoadAnnotations(), half)


@pytest.mark.parametrize("info", [
    {}, {"reduce_zero_label": True}, {"label_map": {1: 2, 2: 1}},
    {"reduce_zero_label": True, "label_map": {0: 3}},
])  # fmt: skip
def test_bytes_are_read_as_mmsegmentation_reads_them(tmp_path: Path, info: dict) -> None:
    ids = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    path = write(tmp_path / "a.png", ids)
    np.testing.assert_array_equal(
        load(LoadAnnotations(), path, **info), load(Stock(), path, **info)
    )


def test_colour_pictures_and_bits_pass(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    path = write(tmp_path / "a.png", colours)
    np.testing.assert_array_equal(load(LoadAnnotations(), path), load(Stock(), path))
    bits = write(tmp_path / "b.png", colours[..., 0] > 99)
    assert set(np.unique(load(LoadAnnotations(), bits))) == {0, 1}


def test_maps_that_mean_nothing_are_refused() -> None:
    for wrong in ({"forest": 1}, {1: 256}, {1: -1}):
        with pytest.raises(ConfigError, match="LoadAnnotations"):
            LoadAnnotations(label_map=wrong)
    with pytest.raises(ConfigError, match="reduce_zero_label"):
        step = LoadAnnotations()
        step.reduce_zero_label = True
        step._finish({"reduce_zero_label": False}, np.zeros((2, 2), np.uint8))


def test_it_is_found_by_its_name() -> None:
    step = TRANSFORMS.build({"type": "mmrs.LoadAnnotations", "label_map": {111: 0}})
    assert step.keeps_wide_ids and "label_map={111: 0}" in repr(step)
