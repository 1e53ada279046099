"""WindowBatches: the data preprocessor, image by image, is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmseg.models import SegDataPreProcessor as MMSegDataPreProcessor
from mmseg.structures import SegDataSample

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.window.window_batch import WindowBatches
from mmrs.errors import DataError
from mmrs.geo.scaling import BandScaling
from mmrs.models.seg_data_preprocessor import SegDataPreProcessor

MEAN, STD = [120.3, 99.1, 60.7], [50.0, 61.5, 70.1]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def windows_of(dtype, bands: int = 3, count: int = 2) -> np.ndarray:
    rng = np.random.default_rng(bands)
    return rng.integers(0, 256, (count, 6, 9, bands)).astype(dtype)


def by_the_preprocessor(preprocessor, windows, contract) -> torch.Tensor:
    """Each image alone, as training does it."""
    if contract.scaling is not None:
        windows = np.stack([contract.scaling(window) for window in windows])
    images = []
    for window in windows:
        image = window[..., ::-1] if contract.order == "reversed" else window
        image = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))
        data = {"inputs": [image], "data_samples": [SegDataSample()]}
        images.append(preprocessor(data)["inputs"][0])
    return torch.stack(images)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("bgr_to_rgb", [False, True])
@pytest.mark.parametrize("order", ["file", "reversed"])
@pytest.mark.parametrize("kind", [MMSegDataPreProcessor, SegDataPreProcessor])
@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_what_the_preprocessor_makes_of_each_image(
    kind, order, bgr_to_rgb, dtype, device
) -> None:
    contract = ChannelContract(3, np.dtype(dtype).name, order)
    for options in ({"mean": MEAN, "std": STD}, {"mean": [7.0], "std": [3.0]}, {}):
        preprocessor = kind(**options, bgr_to_rgb=bgr_to_rgb).to(device)
        for channels_last in (False, True):
            batches = WindowBatches(preprocessor, contract, channels_last=channels_last)
            windows = windows_of(dtype)
            found, metas = batches(windows)
            expected = by_the_preprocessor(preprocessor, windows, contract)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            assert found.is_contiguous(memory_format=layout)
            size = (6, 9)
            assert metas == [{"img_shape": size, "ori_shape": size, "pad_shape": size}] * 2


@pytest.mark.parametrize("bands", [1, 4, 12])
def test_values_are_scaled_as_in_training(bands: int) -> None:
    scaling = BandScaling("minmax", (3.0,) * bands, (200.0,) * bands, clip=True)
    contract = ChannelContract(bands, "uint16", scaling=scaling)
    preprocessor = SegDataPreProcessor(mean=[0.5] * bands, std=[0.25] * bands)
    windows = windows_of(np.uint16, bands)
    found, _ = WindowBatches(preprocessor, contract)(windows)
    expected = (np.clip((windows.astype(np.float64) - 3) / 200, 0, 1) - 0.5) / 0.25
    np.testing.assert_allclose(found.permute(0, 2, 3, 1), expected, atol=1e-5)
    exact = by_the_preprocessor(preprocessor, windows, contract)
    torch.testing.assert_close(found, exact, rtol=0, atol=0)


def test_a_preprocessor_of_ones_own_is_called() -> None:
    class Twice(SegDataPreProcessor):
        def forward(self, data: dict, training: bool = False) -> dict:
            data = super().forward(data, training)
            return {**data, "inputs": data["inputs"] * 2}

    windows = windows_of(np.uint8)
    found, metas = WindowBatches(Twice(MEAN, STD), ChannelContract(3, "uint8"))(windows)
    plain, _ = WindowBatches(SegDataPreProcessor(MEAN, STD), ChannelContract(3, "uint8"))(windows)
    torch.testing.assert_close(found, 2 * plain)
    assert metas[1]["img_shape"] == (6, 9)


def test_padding_of_the_preprocessor_is_kept() -> None:
    preprocessor = SegDataPreProcessor(MEAN, STD, test_cfg={"size_divisor": 8})
    found, metas = WindowBatches(preprocessor, ChannelContract(3, "uint8"))(windows_of(np.uint8))
    assert found.shape == (2, 3, 8, 16)
    assert (found[:, :, 6:] == 0).all() and (found[..., 9:] == 0).all()
    assert metas[0]["img_shape"] == (6, 9)


def test_bands_that_the_mean_does_not_know_are_told_or_done_as_upstream_does() -> None:
    contract = ChannelContract(1, "uint8")
    with pytest.raises(DataError, match="1 bands found, 3 expected"):
        WindowBatches(SegDataPreProcessor(MEAN, STD), contract)(windows_of(np.uint8, 1))
    stock = MMSegDataPreProcessor(MEAN, STD)
    found, _ = WindowBatches(stock, contract)(windows_of(np.uint8, 1))
    assert found.shape == (2, 3, 6, 9)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_pixels_are_left_alone_whatever_they_are_a_view_of(dtype) -> None:
    for options in ({"mean": MEAN, "std": STD}, {}):
        batches = WindowBatches(SegDataPreProcessor(**options), ChannelContract(3))
        whole = windows_of(dtype, count=4)
        before = whole.copy()
        views = [whole, whole[:, ::-1, ::2], np.rot90(whole, axes=(1, 2)), whole[::2]]
        read_only = whole.view()
        read_only.flags.writeable = False
        for view in (*views, read_only):
            found, _ = batches(view)
            copied, _ = batches(np.ascontiguousarray(view).copy())
            assert torch.equal(found, copied)
            found.zero_()
            np.testing.assert_array_equal(whole, before)
