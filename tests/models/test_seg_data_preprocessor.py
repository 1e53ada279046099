"""N bands are normalised band by band; three are treated as MMSegmentation treats them."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor as Stock
from mmseg.structures import SegDataSample

from mmrs.errors import ConfigError, DataError
from mmrs.models import SegDataPreProcessor


def batch(bands: int, dtype: torch.dtype = torch.uint8) -> dict:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index in range(2):
        label = PixelData(data=torch.zeros(1, 6, 5, dtype=torch.long))
        samples.append(SegDataSample(gt_sem_seg=label, metainfo={"img_path": f"{index}.tif"}))
    images = [torch.randint(0, 200, (bands, 6, 5), generator=generator) for _ in samples]
    return {"inputs": [image.to(dtype) for image in images], "data_samples": samples}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("swap", ["bgr_to_rgb", "rgb_to_bgr", None])
def test_three_bands_are_treated_as_by_the_stock_class(training: bool, swap: str | None) -> None:
    options = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "size": (8, 8), "pad_val": 9}
    if swap:
        options[swap] = True
    found = SegDataPreProcessor(**options)(batch(3), training)
    expected = Stock(**options)(batch(3), training)
    torch.testing.assert_close(found["inputs"], expected["inputs"])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.float32])
@pytest.mark.parametrize("bands", [1, 4, 12])
def test_each_band_has_its_own_mean_and_deviation(bands: int, dtype: torch.dtype) -> None:
    mean, std = [float(b) for b in range(bands)], [float(b + 1) for b in range(bands)]
    data = batch(bands, dtype)
    pixels = [image.double() for image in data["inputs"]]
    found = SegDataPreProcessor(mean=mean, std=std)(data)["inputs"]
    assert found.dtype == torch.float32
    for image, result in zip(pixels, found, strict=True):
        for band in range(bands):
            expected = (image[band] - mean[band]) / std[band]
            torch.testing.assert_close(result[band].double(), expected)


def test_the_stock_class_refuses_four_and_makes_three_of_one() -> None:
    """The control, and the reason for this class."""
    with pytest.raises(AssertionError, match="1 or 3 values"):
        Stock(mean=[1.0] * 4, std=[1.0] * 4)
    stock = Stock(mean=[1.0] * 3, std=[1.0] * 3)
    assert stock(batch(1))["inputs"].shape[1] == 3


@pytest.mark.parametrize(("bands", "options"), [
    (1, {"mean": [1.0] * 3, "std": [1.0] * 3}),
    (12, {"mean": [1.0] * 4, "std": [1.0] * 4}),
    (4, {"bgr_to_rgb": True}),
])  # fmt: skip
def test_other_bands_are_refused_with_the_file(bands: int, options: dict) -> None:
    with pytest.raises(DataError, match=rf"0\.tif: {bands} bands found, [34] expected"):
        SegDataPreProcessor(**options)(batch(bands))


def test_one_mean_stands_for_all_and_none_for_no_normalisation() -> None:
    data = batch(4)
    pixels = torch.stack(data["inputs"]).float()
    single = SegDataPreProcessor(mean=[10.0], std=[2.0])(data)["inputs"]
    torch.testing.assert_close(single, (pixels - 10) / 2)
    torch.testing.assert_close(SegDataPreProcessor()(batch(4))["inputs"], pixels)


def test_checkpoints_hold_the_same_tensors_as_with_the_stock_class() -> None:
    assert not SegDataPreProcessor(mean=[1.0] * 4, std=[1.0] * 4).state_dict()
    assert not Stock(mean=[1.0] * 3, std=[1.0] * 3).state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [1.0] * 4, "std": [1.0] * 3}, "mean has 4 numbers, std 3"),
        ({"mean": [1.0] * 4}, "mean has 4 numbers, std 0"),
        ({"mean": [1.0] * 4, "std": [1.0, 1.0, 0.0, 1.0]}, "std must be > 0"),
        ({"mean": [1.0] * 4, "std": [1.0] * 4, "bgr_to_rgb": True}, "4 bands cannot be turned"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SegDataPreProcessor(**options)
