from __future__ import annotations

from pathlib import Path

import pytest

from mmrs.errors import ConfigError
from mmrs.geo.polygons.vector_options import VectorOptions, VectorReport


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_area_m2": -1}, "min_area_m2 must be in 0 .. 1e15, got -1"),
        ({"simplify_px": float("nan")}, "simplify_px must be in 0 .. 1e15, got nan"),
        ({"simplify_m": 1e300}, "simplify_m must be in 0 .. 1e15, got 1e.300"),
        ({"min_area_m2": 4, "min_area_px": 4}, "min_area_m2 and min_area_px are both given"),
        ({"simplify_m": 4, "simplify_px": 4}, "simplify_m and simplify_px are both given"),
        ({"small": "keep"}, "small must be merge or drop, got 'keep'"),
    ],
)
def test_options_without_meaning_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        VectorOptions(**options)


def test_metres_need_the_size_of_a_pixel() -> None:
    assert VectorOptions(min_area_m2=1).needs_metres and VectorOptions(simplify_m=1).needs_metres
    assert not VectorOptions(min_area_px=1, simplify_px=1).needs_metres


def test_the_summary_tells_what_became_of_small_regions() -> None:
    report = VectorReport(Path("a.gpkg"), 3, 40, 90, 9e4, 10, moved_regions=2, moved_px=5)
    assert (
        report.summary() == "a.gpkg: 3 polygons, 9 ha; 2 small regions (5 px) given to neighbours"
    )
    report = VectorReport(Path("a.gpkg"), 3, 40, 90, None, 10, dropped_regions=1, dropped_px=2)
    assert report.summary() == "a.gpkg: 3 polygons, 90 px; 1 small region (2 px) dropped"
