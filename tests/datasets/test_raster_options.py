"""Options of a raster data set that are no options."""

from __future__ import annotations

from typing import Any

import pytest

from mmrs.datasets.raster_options import check_raster_options
from mmrs.errors import ConfigError

RIGHT: dict[str, Any] = {
    "window_sampler": {"type": "grid", "size": 8},
    "scaling": None,
    "label_map": {255: 1, "2": 0, -1: 255},
    "class_of": None,
    "bands": (3, 1, 1),
    "area": [0, 0.5, 9, 9],
    "max_open_files": 1,
}


def check(*, pipeline=(), further=None, **options):
    check_raster_options({**RIGHT, **options}, pipeline=pipeline, further=further or {})


def test_what_is_right_passes():
    check(pipeline=[{"type": "RandomFlip"}, {"type": "PackSegInputs"}], further={"data_root": "a"})
    check(bands=None, area=None, label_map=None, further={"data_prefix": {}, "ann_file": ""})
    check(area="a.gpkg", scaling={"type": "meanstd"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        # these were told as damage of the file
        ({"bands": "12"}, "bands: must be whole numbers from 1 on, got '12'"),
        ({"bands": [1.0, 2]}, "bands: must be whole"),
        ({"bands": 2}, "bands: must be whole"),
        ({"bands": []}, "bands: must be whole"),
        ({"bands": [0]}, "bands: must be whole"),
        ({"max_open_files": 0}, "max_open_files: must be a whole number from 1 on, got 0"),
        ({"max_open_files": "4"}, "max_open_files: must be"),
        ({"area": (1, 2, 3)}, r"area: \(1, 2, 3\) is neither a file"),
        ({"area": ("a", 1, 2, 3)}, "area: .* is neither a file"),
        ({"label_map": {"a": 1}}, "label_map: 'a': 1 maps no id"),
        ({"label_map": [1, 2]}, "label_map: must be a dict"),
        ({"scaling": "minmax"}, "scaling: must be a dict, got 'minmax'"),
        ({"window_sampler": "grid"}, "window_sampler: must be a dict"),
        ({"class_of": ["a"]}, "class_of: must be a dict"),
        ({"further": {"ann_file": "a.txt"}}, "ann_file: it is not used here"),
        ({"further": {"img_suffix": ".tif"}}, "img_suffix: it is not used here"),
        ({"pipeline": [{"type": "mmseg.LoadAnnotations"}]}, "pipeline: it holds LoadAnnotations"),
        ({"pipeline": [{"type": "mmrs.LoadRaster"}]}, "pipeline: it holds LoadRaster"),
    ],
)
def test_what_has_no_meaning_is_told_with_its_key(options, message):
    with pytest.raises(ConfigError, match=f"^RasterSegDataset.{message}"):
        check(**options)
