"""AugmentedWindowModel: an equivariant model, a directional one by hand, scales by a reference."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional

from mmrs.apis.window.augmented_model import AugmentedWindowModel
from mmrs.errors import ConfigError


class PointModel:
    """Softmax of three bands, pixel by pixel: equivariant. Remembers what it was shown."""

    classes = ("a", "b", "c")
    threshold = None
    window, stride = (8, 8), (4, 4)

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.seen.append(windows.copy())
        scores = np.exp(np.minimum(windows[..., :3].astype(np.float32), 4096) / 64)
        scores /= scores.sum(axis=-1, keepdims=True)
        return scores.transpose(0, 3, 1, 2)


class LeftModel(PointModel):
    """Two classes; the probability of the first grows from the left edge to the right."""

    classes = ("a", "b")

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.seen.append(windows.copy())
        n, height, width, _ = windows.shape
        first = np.broadcast_to(np.arange(width) / (2 * width), (n, 1, height, width))
        return np.concatenate([first, 1 - first], axis=1).astype(np.float32)


class TensorModel(PointModel):
    """Tensors beside arrays, as a segmentor gives them."""

    def __init__(self, model: PointModel) -> None:
        super().__init__()
        self._model = model

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        return self._model(windows)

    def scores(self, windows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self._model(np.ascontiguousarray(windows)).copy())


@pytest.fixture
def windows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("symmetries", ["none", "flips", "d4"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_pointwise_model_gives_the_same_laid_in_any_way(windows, symmetries, dtype) -> None:
    windows = windows.astype(dtype)
    for model in (PointModel(), TensorModel(PointModel())):
        augmented = AugmentedWindowModel(model, symmetries=symmetries)
        found = augmented(windows)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, PointModel()(windows), rtol=1e-5)
        scores = augmented.scores(windows)
        assert isinstance(scores, torch.Tensor) == isinstance(model, TensorModel)
        np.testing.assert_allclose(np.asarray(scores), found, rtol=1e-6)


@pytest.mark.parametrize(("symmetries", "count"), [("none", 1), ("flips", 4), ("d4", 8)])
def test_the_model_sees_each_way_once(windows, symmetries, count) -> None:
    model = PointModel()
    augmented = AugmentedWindowModel(model, symmetries=symmetries)
    augmented(windows)
    assert augmented.passes == count == len(model.seen)
    images = {(seen.shape, seen.tobytes()) for seen in model.seen}
    assert len(images) == count
    flips = [windows, windows[:, ::-1], windows[:, :, ::-1], windows[:, ::-1, ::-1]]
    expected = flips[:count] if count < 8 else [*flips, *(f.swapaxes(1, 2) for f in flips)]
    assert images == {
        (image.shape, image.tobytes()) for image in map(np.ascontiguousarray, expected)
    }


def test_a_directional_model_gives_the_mean_by_hand() -> None:
    windows = np.zeros((1, 2, 4, 3), dtype=np.uint8)
    # rising to the right and, mirrored, to the left: 0, 1, 2, 3 and 3, 2, 1, 0 eighths
    flips = AugmentedWindowModel(LeftModel(), symmetries="flips")(windows)
    np.testing.assert_allclose(flips[0, 0], np.full((2, 4), 1.5 / 8), rtol=1e-6)
    # with quarter turns a column has two pixels, 0 and 1 quarters, in both directions
    turned = AugmentedWindowModel(LeftModel(), symmetries="d4")(windows)
    np.testing.assert_allclose(turned[0, 0], np.full((2, 4), (1.5 / 8 + 0.5 / 4) / 2), rtol=1e-6)
    np.testing.assert_allclose(turned.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("lay", ["arrays", "tensors"])
def test_answers_come_back_to_the_pixel_that_they_are_about(lay) -> None:
    """One marked pixel, off every axis of symmetry: a wrong inverse would move its answer."""
    windows = np.zeros((1, 4, 6, 3), dtype=np.uint8)
    windows[0, 1, 4, 1] = 255
    model = PointModel() if lay == "arrays" else TensorModel(PointModel())
    found = np.asarray(AugmentedWindowModel(model, symmetries="d4").scores(windows))
    assert np.unravel_index(found[0, 1].argmax(), (4, 6)) == (1, 4)
    assert (found[0, 1] > 0.5).sum() == 1


@pytest.mark.parametrize("tensors", [False, True])
def test_scales_are_resized_there_and_back(windows, tensors) -> None:
    windows = windows.astype(np.float32)
    scales = (0.5, 1.0, 1.75)
    model = TensorModel(PointModel()) if tensors else PointModel()
    found = np.asarray(AugmentedWindowModel(model, scales=scales).scores(windows))
    images = torch.from_numpy(windows).permute(0, 3, 1, 2)
    expected = torch.zeros_like(images)
    # 5 x 7 px become 2 x 4 (2.5 and 3.5, halves to the even), 5 x 7, 9 x 12
    for size in ((2, 4), (5, 7), (9, 12)):
        resized = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        scores = (resized / 64).softmax(dim=1)
        expected += functional.interpolate(scores, size=(5, 7), mode="bilinear") / 3
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert abs(found - PointModel()(windows)).max() > 0.01


def test_scaled_pixels_are_of_the_type_of_the_file_and_of_all_its_bands() -> None:
    model = PointModel()
    windows = np.full((1, 6, 8, 12), 60_001, dtype=np.uint16)
    AugmentedWindowModel(model, symmetries="d4", scales=(0.75, 1.5))(windows)
    # 4.5 px are rounded to the even 4
    shapes = {seen.shape for seen in model.seen}
    assert shapes == {(1, 4, 6, 12), (1, 6, 4, 12), (1, 9, 12, 12), (1, 12, 9, 12)}
    assert all(seen.dtype == np.uint16 and (seen == 60_001).all() for seen in model.seen)


def test_a_window_of_one_pixel_has_all_scales() -> None:
    windows = np.full((1, 1, 1, 3), 9, dtype=np.uint8)
    found = AugmentedWindowModel(PointModel(), symmetries="d4", scales=(0.25, 1, 3))(windows)
    np.testing.assert_allclose(found, np.full((1, 3, 1, 1), 1 / 3), rtol=1e-6)


def test_what_the_model_gave_is_not_changed() -> None:
    class Keeper(PointModel):
        kept = np.full((1, 2, 3, 3), 0.5, dtype=np.float32)

        def __call__(self, windows: np.ndarray) -> np.ndarray:
            return self.kept

    AugmentedWindowModel(Keeper(), symmetries="flips")(np.zeros((1, 3, 3, 1), dtype=np.uint8))
    assert (Keeper.kept == 0.5).all()


def test_all_else_is_the_models() -> None:
    augmented = AugmentedWindowModel(PointModel())
    assert augmented.classes == ("a", "b", "c")
    assert augmented.window == (8, 8)
    assert not hasattr(augmented, "make_band")
    with_band = PointModel()
    with_band.make_band = lambda plan, blend, wanted: "band"
    assert AugmentedWindowModel(with_band).make_band(None, "flat", None) == "band"
    assert pickle.loads(pickle.dumps(augmented)).window == (8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symmetries": "d8"}, "symmetries must be one of none, flips, d4, got 'd8'"),
        ({"scales": ()}, r"scales must be numbers > 0, at least one, got \[\]"),
        ({"scales": (1.0, 0.0)}, r"scales must be numbers > 0, at least one, got \[1\.0, 0\.0\]"),
        ({"scales": (float("nan"),)}, "scales must be numbers > 0"),
    ],
)
def test_options_without_a_meaning_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentedWindowModel(PointModel(), **options)
