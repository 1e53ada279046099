"""Quarter turns as a data set lists them."""

import numpy as np
import pytest

from mmrs.datasets.transforms.rotate_as_listed import RotateAsListed
from mmrs.errors import DataError


def rotate(angle: int | None, **more) -> dict:
    image = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    results = {"img": image, "gt_seg_map": image[..., 0], "seg_fields": ["gt_seg_map"], **more}
    if angle is not None:
        results["rotation_deg"] = angle
    return RotateAsListed().transform(results)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_pixel_and_its_label_move_counterclockwise_together(angle):
    results = rotate(angle)
    # upper left corner -> lower left -> lower right -> upper right
    row, column = {0: (0, 0), 90: (-1, 0), 180: (-1, -1), 270: (0, -1)}[angle]
    assert results["img"][row, column].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(results["gt_seg_map"], results["img"][..., 0])
    assert results["img_shape"] == results["img"].shape[:2] == ((2, 3), (3, 2))[angle % 180 // 90]
    assert results["img"].flags.c_contiguous


@pytest.mark.parametrize("pad_shape", [(2, 3, 4), (2, 3)])
def test_the_shape_after_padding_turns_with_the_image(pad_shape):
    results = rotate(90, pad_shape=pad_shape)
    assert results["pad_shape"] == (3, 2, 4)[: len(pad_shape)]
    assert "pad_shape" not in rotate(90)


def test_a_sample_without_a_rotation_stays():
    np.testing.assert_array_equal(rotate(None)["img"], rotate(0)["img"])


def test_other_angles_are_refused():
    with pytest.raises(DataError, match="multiple of 90, got 45"):
        rotate(45)
