"""Light is varied within the type's range, on pixels that count, as a float64 reference does it."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from mmrs.datasets.transforms import PhotometricDistortion
from mmrs.errors import ConfigError, DataError
from mmrs.registry import TRANSFORMS

DTYPES = ["uint8", "uint16", "int16", "float32"]


def make_image(dtype: str, bands: int = 4, seed: int = 0) -> np.ndarray:
    """(12, 10, bands) over the whole range of the type; floats over 0 .. 1."""
    values = np.random.default_rng(seed).random((12, 10, bands))
    if dtype == "float32":
        return values.astype(np.float32)
    limits = np.iinfo(dtype)
    return (limits.min + values * (limits.max - limits.min)).astype(dtype)


def options_for(dtype: str) -> dict:
    return {"value_range": (0, 1)} if dtype == "float32" else {}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", ["joint", "each"])
def test_values_are_those_of_a_float64_reference(dtype: str, bands: str) -> None:
    image = make_image(dtype)
    step = PhotometricDistortion(
        brightness=0.3, contrast=(0.5, 1.5), gamma=(0.5, 2), bands=bands, prob=1,
        **options_for(dtype),
    )  # fmt: skip
    np.random.seed(7)
    found = step({"img": image.copy()})["img"]
    # the same numbers, drawn by hand in the order that the docstring says
    count = 4 if bands == "each" else 1
    np.random.seed(7)
    drawn = []
    for low, high in ((-0.3, 0.3), (0.5, 1.5), (0.5, 2)):
        np.random.random()
        drawn.append(np.random.uniform(low, high, count))
    low, high = (0.0, 1.0)
    if dtype != "float32":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    expected = np.empty(image.shape)
    for index in np.ndindex(image.shape):
        shift, factor, exponent = (d[index[-1] % count] for d in drawn)
        x = min(1, max(0, (float(image[index]) - low) / (high - low) + shift))
        x = min(1, max(0, (x - 0.5) * factor + 0.5))
        expected[index] = low + x**exponent * (high - low)
    assert found.dtype == image.dtype
    tolerance = (high - low) * 1e-6 + (0 if dtype == "float32" else 0.51)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    assert (found != image).mean() > 0.9


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_extremes_stay_extremes_and_never_wrap_around(dtype: str) -> None:
    image = np.sort(make_image(dtype).reshape(-1, 4), axis=0).reshape(12, 10, 4)
    step = PhotometricDistortion(brightness=1, contrast=(1, 3), prob=1, **options_for(dtype))
    for seed in range(6):
        np.random.seed(seed)
        found = step({"img": image.copy()})["img"]
        # brightness and contrast are monotone: what wraps around is not
        assert (np.diff(found.reshape(-1, 4).astype(np.float64), axis=0) >= 0).all()
        assert found.dtype == image.dtype


def test_the_stock_transform_would_cut_16_bits_to_8() -> None:
    """The control, and the reason for this class."""
    from mmseg.datasets.transforms import PhotoMetricDistortion

    image = make_image("uint16", bands=3)
    np.random.seed(0)
    assert PhotoMetricDistortion().convert(image, beta=1).dtype == np.uint8
    assert PhotoMetricDistortion().convert(image, beta=1).max() == 255


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_that_do_not_count_stay_as_they_are(dtype: str) -> None:
    image = make_image(dtype)
    label = np.zeros((12, 10), np.uint8)
    label[3:5, 2:9] = 255
    gaps = label == 255
    options = {"noise": 0.2, "prob": 1, **options_for(dtype)}
    np.random.seed(1)
    found = PhotometricDistortion(**options)({"img": image.copy(), "gt_seg_map": label})["img"]
    np.testing.assert_array_equal(found[gaps], image[gaps])
    assert (found[~gaps] != image[~gaps]).mean() > 0.9
    # by a mask of its own, and not at all
    np.random.seed(1)
    step = PhotometricDistortion(ignored_mask="gaps", **options)
    masked = step({"img": image.copy(), "gaps": gaps})["img"]
    np.testing.assert_array_equal(masked, found)
    np.random.seed(1)
    step = PhotometricDistortion(ignore_index=None, **options)
    everywhere = step({"img": image.copy(), "gt_seg_map": label})["img"]
    assert (everywhere[gaps] != image[gaps]).mean() > 0.9


def test_values_that_are_not_finite_stay_so_alone() -> None:
    image = make_image("float32")
    image[2, 3, 1] = np.nan
    step = PhotometricDistortion(value_range=(0, 1), prob=1)
    found = step({"img": image.copy()})["img"]
    assert np.isnan(found).sum() == 1
    np.testing.assert_array_equal(found[2, 3, [0, 2, 3]], image[2, 3, [0, 2, 3]])


def test_hue_and_saturation_are_those_of_colorsys_on_the_declared_bands_only() -> None:
    image = make_image("uint16", bands=5)
    rgb_bands = [4, 2, 0]  # red, green, blue
    step = PhotometricDistortion(
        brightness=0, contrast=(1, 1), hue=40, saturation=(0.5, 1.5), rgb_bands=rgb_bands, prob=1
    )
    np.random.seed(3)
    found = step({"img": image.copy()})["img"]
    np.testing.assert_array_equal(found[..., [1, 3]], image[..., [1, 3]])
    np.random.seed(3)
    np.random.random()
    turn, factor = np.random.uniform(-40, 40, 1)[0], np.random.uniform(0.5, 1.5, 1)[0]
    for row in range(12):
        for col in range(10):
            red, green, blue = (image[row, col, band] / 65535 for band in rgb_bands)
            hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
            expected = colorsys.hsv_to_rgb(
                (hue + turn / 360) % 1, min(1, saturation * factor), value
            )
            np.testing.assert_allclose(
                found[row, col, rgb_bands] / 65535, expected, atol=3e-5, rtol=0
            )


def test_noise_has_the_deviation_that_is_drawn() -> None:
    image = np.full((64, 64, 2), 30_000, np.uint16)
    step = PhotometricDistortion(brightness=0, contrast=(1, 1), noise=0.05, prob=1)
    np.random.seed(2)
    found = step({"img": image})["img"].astype(float)
    np.random.seed(2)
    np.random.random()
    deviation = np.random.uniform(0, 0.05)
    assert found.std() == pytest.approx(deviation * 65535, rel=0.05)
    assert found.mean() == pytest.approx(30_000, rel=0.01)


def test_seeds_decide_and_probability_0_does_nothing() -> None:
    image = make_image("uint8", bands=3)
    step = PhotometricDistortion(noise=0.1, prob=1)
    np.random.seed(5)
    first = step({"img": image.copy()})["img"]
    second = step({"img": image.copy()})["img"]
    np.random.seed(5)
    np.testing.assert_array_equal(step({"img": image.copy()})["img"], first)
    assert (first != second).any()
    same = PhotometricDistortion(noise=0.1, prob=0)({"img": image.copy()})["img"]
    np.testing.assert_array_equal(same, image)


def test_a_range_for_each_band_and_grey_pictures() -> None:
    image = np.stack([np.linspace(0, 10, 20), np.linspace(0, 1000, 20)], -1)[None]
    image = image.astype(np.float32)
    step = PhotometricDistortion(
        brightness=0.5, contrast=(1, 1), value_range=[(0, 10), (0, 1000)], prob=1
    )
    np.random.seed(0)
    found = step({"img": image})["img"]
    np.testing.assert_allclose(found[..., 0] * 100, found[..., 1], rtol=1e-5, atol=1e-3)
    assert found[..., 0].max() <= 10
    grey = make_image("uint8")[..., 0]
    assert PhotometricDistortion(prob=1)({"img": grey})["img"].shape == grey.shape


def test_float_images_need_a_range_and_bands_must_be_there() -> None:
    with pytest.raises(ConfigError, match="images of float32 have no range of their own"):
        PhotometricDistortion(prob=1)({"img": make_image("float32")})
    step = PhotometricDistortion(hue=5, rgb_bands=(0, 1, 2))
    with pytest.raises(DataError, match=r"a\.tif: 2 bands found, rgb_bands are \[0, 1, 2\]"):
        step({"img": make_image("uint8", bands=2), "img_path": "a.tif"})
    step = PhotometricDistortion(value_range=[(0, 1), (0, 2)])
    with pytest.raises(DataError, match="4 bands found, value_range is for 2"):
        step({"img": make_image("uint8")})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"brightness": 2}, "brightness: must be 0 to 1, got 2"),
        ({"noise": -1}, "noise: must be 0 to 1"),
        ({"hue": 200}, "hue: must be 0 to 180"),
        ({"prob": 1.5}, "prob: must be 0 to 1"),
        ({"contrast": (2, 1)}, "contrast: must be"),
        ({"gamma": (0, 1)}, "gamma: must be"),
        ({"bands": "all"}, "bands: must be joint or each"),
        ({"rgb_bands": (0, 0, 1)}, "rgb_bands: must be three different"),
        ({"hue": 10}, "hue and saturation mean nothing"),
        ({"value_range": (1, 0)}, "value_range: must be"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PhotometricDistortion(**options)


def test_it_is_found_by_its_name() -> None:
    step = TRANSFORMS.build({"type": "mmrs.PhotometricDistortion", "noise": 0.1})
    assert "noise=0.1" in repr(step)
