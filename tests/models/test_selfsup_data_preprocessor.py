"""Views are normalised band by band, however many there are."""

import pytest
import torch

from mmrs.errors import ConfigError, DataError
from mmrs.models import SelfSupDataPreProcessor


@pytest.mark.parametrize("bands", [1, 3, 4, 12])
def test_every_band_has_its_mean_and_deviation(bands):
    mean, std = [float(b) for b in range(bands)], [b + 1.0 for b in range(bands)]
    views = [torch.randint(0, 255, (2, bands, 4, 4), dtype=torch.uint8) for _ in range(2)]
    model = SelfSupDataPreProcessor(mean=mean, std=std)
    found = model({"inputs": views, "data_samples": ["a", "b"]}, training=True)
    for view, normal in zip(views, found["inputs"], strict=True):
        for band in range(bands):
            expected = (view[:, band].float() - mean[band]) / std[band]
            torch.testing.assert_close(normal[:, band], expected)
    assert found["data_samples"] == ["a", "b"]
    assert not model.state_dict()


def test_one_number_serves_all_and_none_changes_nothing():
    view = torch.rand(1, 5, 2, 2)
    one = SelfSupDataPreProcessor(mean=[1.0], std=[2.0])({"inputs": view})["inputs"]
    torch.testing.assert_close(one, (view - 1) / 2)
    assert torch.equal(SelfSupDataPreProcessor()({"inputs": [view]})["inputs"][0], view)


def test_bands_are_reversed_first():
    view = torch.rand(1, 3, 2, 2)
    model = SelfSupDataPreProcessor(mean=[1.0, 2, 3], std=[1.0] * 3, bgr_to_rgb=True)
    expected = view.flip(1) - torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1)
    torch.testing.assert_close(model({"inputs": view})["inputs"], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [1.0]}, "mean has 1 numbers, std 0"),
        ({"mean": [1.0], "std": [0.0]}, r"SelfSupDataPreProcessor.std: must be > 0"),
        ({"mean": [1.0] * 4, "std": [1.0] * 4, "bgr_to_rgb": True}, "4 bands cannot be turned"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        SelfSupDataPreProcessor(**options)


def test_other_bands_and_views_one_by_one_are_told():
    model = SelfSupDataPreProcessor(mean=[1.0] * 3, std=[1.0] * 3)
    with pytest.raises(DataError, match="4 bands found, 3 expected by SelfSupDataPreProcessor"):
        model({"inputs": [torch.rand(1, 4, 2, 2)]})
    with pytest.raises(ConfigError, match=r"collate_fn: views come one by one"):
        model({"inputs": [[torch.rand(3, 2, 2)] * 2]})
