"""Two views of one image, and blur of any bands and type."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mmrs.datasets.transforms import RandomBlur, TwoViews
from mmrs.errors import ConfigError


def noisy(results: dict) -> dict:
    results["img"] = results["img"] + np.random.random()
    return results


def doubled(results: dict) -> dict:
    results["img"] = results["img"] * 2
    return results


def test_views_have_draws_of_their_own_and_share_no_memory():
    image = np.ones((4, 4, 3))
    results = TwoViews(transforms=[noisy])({"img": image, "image_id": 3})
    first, second = results["img"]
    assert not np.array_equal(first, second)
    assert results["image_id"] == 3
    assert np.array_equal(image, np.ones((4, 4, 3)))


def test_views_may_have_steps_of_their_own():
    results = TwoViews(transforms=[], second_transforms=[doubled])({"img": np.ones((2, 2, 1))})
    assert [view.max() for view in results["img"]] == [1, 2]


def test_the_second_view_is_of_the_near_image():
    sample = {"img": np.zeros((2, 2, 1)), "near_img": np.full((3, 3, 1), 7.0)}
    results = TwoViews(transforms=[doubled])(sample)
    assert [view.max() for view in results["img"]] == [0, 14]
    assert "near_img" not in results


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 3, 7])
def test_blur_is_scipys_and_keeps_bands_and_type(dtype, bands):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (24, 20, bands)).astype(dtype)
    found = RandomBlur(sigma_px=(1.5, 1.5), prob=1.0)({"img": image})["img"]
    assert found.shape == image.shape and found.dtype == image.dtype
    for band in range(bands):
        exact = gaussian_filter(image[..., band].astype(np.float64), 1.5, mode="mirror")
        # OpenCV cuts the kernel at three deviations for bytes, at four for others
        assert np.abs(found[..., band] - exact).max() < 1.5


@pytest.mark.parametrize(("dtype", "bands"), [("float32", 300), ("uint32", 2), ("int8", 3)])
def test_blur_of_more_bands_and_other_types_than_opencv_takes(dtype, bands):
    image = np.random.default_rng(0).integers(0, 100, (12, 10, bands)).astype(dtype)
    found = RandomBlur(sigma_px=(1.0, 1.0), prob=1.0)({"img": image})["img"]
    assert found.shape == image.shape and found.dtype == image.dtype
    for band in (0, bands - 1):
        exact = gaussian_filter(image[..., band].astype(np.float64), 1.0, mode="mirror")
        assert np.abs(found[..., band] - exact).max() < 0.6


def test_blur_happens_as_often_as_told():
    image = np.random.default_rng(0).random((8, 8, 2)).astype(np.float32)
    np.random.seed(0)
    step = RandomBlur(prob=0.25, sigma_px=(1.0, 2.0))
    hits = sum(step({"img": image})["img"] is not image for _ in range(400))
    assert 70 < hits < 130
    assert step({"img": image})["img"].shape == image.shape


@pytest.mark.parametrize("options", [{"sigma_px": (0, 1)}, {"sigma_px": (2, 1)}, {"prob": 1.5}])
def test_options_out_of_range_are_told(options):
    with pytest.raises(ConfigError, match=rf"RandomBlur.{next(iter(options))}: must be"):
        RandomBlur(**options)
