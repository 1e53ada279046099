"""Id maps and colour maps against the obvious loop, and what they refuse."""

import numpy as np
import pytest

from mmrs.datasets.transforms.map_labels import MapColors, MapLabels
from mmrs.errors import ConfigError, LabelError


def test_ids_are_mapped_all_at_once():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 256, (9, 7)).astype(np.uint8)
    label_map = {0: 1, 1: 0, 255: 3}
    expected = [[label_map.get(v, v) for v in row] for row in label.tolist()]
    found = MapLabels(label_map=label_map)({"gt_seg_map": label})["gt_seg_map"]
    assert found.tolist() == expected


def test_wide_labels_are_not_wrapped():
    with pytest.raises(LabelError, match="values 0 to 300"):
        MapLabels(label_map={1: 2})({"gt_seg_map": np.array([[0, 300]])})


@pytest.mark.parametrize("label_map", [{256: 1}, {1: -1}, {1.5: 2}, {True: 1}])
def test_ids_must_be_bytes(label_map):
    with pytest.raises(ConfigError, match="not a whole number from 0 to 255"):
        MapLabels(label_map=label_map)


COLORS = [(255, 0, 0), (0, 255, 1), (0, 0, 0)]


def picture(ids, channels=3):
    """RGB(A) of class ids, with blue first as mmcv loads it."""
    rgb = np.array([*COLORS, (9, 9, 9)], np.uint8)[np.array(ids)]
    bgr = rgb[..., ::-1]
    alpha = np.full((*bgr.shape[:2], channels - 3), 77, np.uint8)
    return {"gt_seg_map": np.concatenate([bgr, alpha], axis=2), "seg_map_path": "ann/t.png"}


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_become_ids(channels):
    step = MapColors(colors=COLORS, ignore_colors=[(9, 9, 9)])
    found = step(picture([[0, 1], [2, 3]], channels))["gt_seg_map"]
    assert found.dtype == np.uint8 and found.tolist() == [[0, 1], [2, 255]]


def test_unknown_colours_are_counted_and_the_first_is_named():
    with pytest.raises(LabelError, match=r"1 colours .*\(2 pixels\).*\(9, 9, 9\) at \(row 0, c"):
        MapColors(colors=COLORS)(picture([[0, 3], [2, 3]]))


def test_reduce_zero_label_does_not_go_with_colours():
    with pytest.raises(ConfigError, match="reduce_zero_label=False"):
        MapColors(colors=COLORS)({**picture([[0]]), "reduce_zero_label": True})


def test_ids_are_no_colours():
    with pytest.raises(LabelError, match="no colour picture"):
        MapColors(colors=COLORS)({"gt_seg_map": np.zeros((2, 2), np.uint8)})


@pytest.mark.parametrize("colors", [[(1, 2)], [(0, 0, 256)], [(1, 1, 1), (1, 1, 1)]])
def test_bad_colours_are_refused(colors):
    with pytest.raises(ConfigError, match=r"no colour|given twice"):
        MapColors(colors=colors)
