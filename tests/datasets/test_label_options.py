"""Options of labels that mean nothing, or would pass unused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmrs.datasets.label_options import check_label_options, check_options_fit
from mmrs.errors import ConfigError

UNSET: dict[str, Any] = {
    "label_map": None,
    "label_colors": None,
    "label_ignore_colors": (),
    "align_labels": False,
    "attribute": None,
    "class_of": None,
    "background": None,
    "layer": None,
    "all_touched": False,
    "ignore_index": 255,
    "reduce_zero_label": False,
}
COLORS = [(0, 0, 0), (9, 9, 9), (8, 8, 8)]


def test_what_is_not_set_and_what_is_right_passes():
    check_label_options(UNSET, num_classes=255)
    polygons = {"attribute": "kind", "class_of": {"a": 0, "b": 255}, "background": 255}
    check_label_options({**UNSET, **polygons}, num_classes=2)
    for options, name in ((UNSET, "a.tif"), ({**UNSET, **polygons}, "a.gpkg")):
        check_options_fit(options, [Path(name)])
    # where images have labels of both kinds, each option has something to do
    both = {**UNSET, **polygons, "label_map": {7: 0}}
    check_options_fit(both, [Path("a.tif"), Path("b.gpkg")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore_index": -100}, "ignore_index: must be a whole number from 0 to 255, got -100"),
        ({"ignore_index": 256}, "ignore_index: must be"),
        ({"background": -1}, "background: must be"),
        ({"background": True}, "background: must be"),
        ({"attribute": "k", "class_of": {"a": -1}}, "class_of: must be a whole number.* got -1"),
        ({"class_of": {"a": 1}}, "attribute: class_of maps values of an attribute"),
        ({"label_ignore_colors": [(1, 1, 1)]}, "label_colors: label_ignore_colors is set"),
        ({"label_colors": COLORS[:2]}, "label_colors: 2 for 3 classes"),
        ({"label_map": {1: 0}, "label_colors": COLORS}, "label_map and label_colors would both"),
        ({"label_map": {1: 0}, "reduce_zero_label": True}, "reduce_zero_label and label_map"),
        ({"label_colors": COLORS, "reduce_zero_label": True}, "reduce_zero_label and label_colo"),
    ],
)
def test_options_that_mean_nothing_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        check_label_options({**UNSET, **options}, num_classes=3)


def test_more_classes_than_a_byte_holds_are_refused():
    # class 256 would become class 0
    with pytest.raises(ConfigError, match="metainfo: 300 classes, but labels are bytes"):
        check_label_options(UNSET, num_classes=300)


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        ({"reduce_zero_label": True}, "a.gpkg", "reduce_zero_label: a.gpkg holds polygons"),
        ({"label_map": {1: 2}}, "a.geojson", "label_map: a.geojson holds polygons"),
        ({"label_colors": COLORS}, "a.shp", "label_colors: a.shp holds polygons"),
        ({"attribute": "kind"}, "a.tif", "attribute: it is for polygons, but a.tif is a raster"),
        ({"background": 0}, "a.png", "background: it is for polygons"),
        ({"all_touched": True}, "a.png", "all_touched: it is for polygons"),
    ],
)
def test_options_that_would_pass_unused_are_told(options, name, message):
    with pytest.raises(ConfigError, match=message):
        check_options_fit({**UNSET, **options}, [Path(name)])
