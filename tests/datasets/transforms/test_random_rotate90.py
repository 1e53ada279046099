"""RandomRotate90: exact, all four equally often, image and label together."""

from collections import Counter

import numpy as np
import pytest

from mmrs.datasets.transforms import RandomRotate90
from mmrs.errors import ConfigError
from mmrs.registry import TRANSFORMS


def sample(height=4, width=6):
    label = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    image = np.stack([label, label + 100, label + 200], axis=-1)
    return {
        "img": image,
        "gt_seg_map": label,
        "seg_fields": ["gt_seg_map"],
        "img_shape": (height, width),
    }


@pytest.mark.parametrize("angle", [0, 90, 180, 270, -90])
def test_every_pixel_goes_where_the_angle_says_with_its_label(angle):
    before = sample()
    after = RandomRotate90(angles=[angle]).transform(sample())
    height, width = before["gt_seg_map"].shape
    # where the pixel of row i, column j goes, turning counterclockwise
    target = {
        0: lambda i, j: (i, j),
        90: lambda i, j: (width - 1 - j, i),
        180: lambda i, j: (height - 1 - i, width - 1 - j),
        270: lambda i, j: (j, height - 1 - i),
    }[angle % 360]
    for i in range(height):
        for j in range(width):
            assert after["gt_seg_map"][target(i, j)] == before["gt_seg_map"][i, j]
            assert (after["img"][target(i, j)] == before["img"][i, j]).all()
    assert after["img_shape"] == after["gt_seg_map"].shape == after["img"].shape[:2]
    assert after["img"].flags["C_CONTIGUOUS"] and after["gt_seg_map"].flags["C_CONTIGUOUS"]


def test_the_four_rotations_are_equally_frequent():
    np.random.seed(0)
    step = RandomRotate90()
    seen = Counter(step.transform(sample())["rotation_deg"] for _ in range(400))
    assert set(seen) == {0, 90, 180, 270}
    # 100 each expected; a binomial's five standard deviations are 43
    assert all(abs(count - 100) < 43 for count in seen.values())


@pytest.mark.parametrize("angle", [90, 180])
@pytest.mark.parametrize("pad_shape", [(4, 6, 3), (4, 6)])
def test_the_shape_after_padding_turns_with_the_image(angle, pad_shape):
    results = RandomRotate90(angles=[angle]).transform({**sample(), "pad_shape": pad_shape})
    assert results["pad_shape"] == results["img"].shape[: len(pad_shape)]
    assert results["pad_shape"][:2] == results["img_shape"]
    assert "pad_shape" not in RandomRotate90(angles=[angle]).transform(sample())


def test_an_image_without_a_label_is_rotated():
    results = sample()
    results.pop("gt_seg_map")
    assert RandomRotate90(angles=[90]).transform(results)["img"].shape == (6, 4, 3)


def test_it_is_found_by_its_prefixed_name_and_says_what_it_does():
    step = TRANSFORMS.build({"type": "mmrs.RandomRotate90", "angles": [0, 180]})
    assert repr(step) == "RandomRotate90(angles=(0, 180))"


@pytest.mark.parametrize(("angles", "cause"), [([0, 45], "45 is no multiple"), ([], "no angle")])
def test_other_angles_are_refused(angles, cause):
    with pytest.raises(ConfigError, match=rf"RandomRotate90\.angles: {cause}"):
        RandomRotate90(angles=angles)
