"""What `mmrs.CheckSample` lets through and what it refuses."""

import numpy as np
import pytest

from mmrs.datasets.transforms.check_sample import CheckSample
from mmrs.errors import DataError, LabelError


def results(label, image_shape=(4, 5, 3), **extra):
    return {
        "img": np.zeros(image_shape, np.uint8),
        "img_path": "img/t7.png",
        "seg_map_path": "ann/t7.png",
        "gt_seg_map": label,
        **extra,
    }


def test_a_good_sample_passes_unchanged():
    label = np.full((4, 5), 2, np.uint8)
    label[0, 0] = 255
    sample = results(label)
    assert CheckSample(num_classes=3)(sample) is sample
    assert sample["gt_seg_map"] is label


def test_value_out_of_range_names_file_value_pixel_and_mend():
    label = np.zeros((4, 5), np.uint8)
    label[1, 4] = 7
    with pytest.raises(LabelError) as caught:
        CheckSample(num_classes=3)(results(label))
    assert str(caught.value) == (
        "ann/t7.png: value 7 at (row 1, col 4), but classes has 3 (0-2). Fix: map it after "
        "LoadAnnotations, dict(type='mmrs.MapLabels', label_map={7: 255}), or set num_classes=8 "
        "with a class name for it"
    )


def test_negative_value_is_refused():
    label = np.zeros((4, 5), np.int64)
    label[3, 0] = -1
    with pytest.raises(LabelError, match=r"value -1 at \(row 3, col 0\)"):
        CheckSample(num_classes=3)(results(label))


def test_255_is_refused_where_another_id_is_ignored():
    with pytest.raises(LabelError, match="value 255"):
        CheckSample(num_classes=3, ignore_index=0)(results(np.full((4, 5), 255, np.uint8)))


def test_sizes_that_differ_name_both_files_and_both_sizes():
    sample = results(np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"ann/t7.png: label is 4 x 4 .* img/t7.png is 4 x 5"):
        CheckSample(num_classes=3)(sample)


def test_a_label_kept_at_the_files_size_is_right():
    # test pipelines resize the image only
    sample = results(np.zeros((8, 10), np.uint8), ori_shape=(8, 10))
    assert CheckSample(num_classes=3)(sample) is sample


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_label_asks_for_the_colour_map(channels):
    label = np.zeros((4, 5, channels), np.uint8)
    label[0, 0] = 9
    with pytest.raises(LabelError, match=rf"{channels} channels, 2 colours.*mmrs.MapColors"):
        CheckSample()(results(label))


def test_without_a_label_there_is_nothing_to_check():
    sample = {"img": np.zeros((2, 2, 3))}
    assert CheckSample(num_classes=3)(sample) is sample


def test_num_classes_must_be_positive():
    with pytest.raises(ValueError, match="num_classes must be >= 1, got 0"):
        CheckSample(num_classes=0)
