"""cache_bytes: between its bounds, and enough that no block is decoded twice."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmrs.geo.block_cache import cache_bytes
from mmrs.geo.raster import GDAL_CACHE_BYTES


def raster(width: int, count: int, dtype: str) -> SimpleNamespace:
    return SimpleNamespace(width=width, count=count, dtype=dtype)


@pytest.mark.parametrize(
    ("scene", "rows", "expected"),
    [
        (raster(1024, 3, "uint8"), 512, 16 * 2**20),  # 6.3 MB would do
        # twice 512 rows and two lines of 256, of 10,000 pixels of 3 bytes
        (raster(10_000, 3, "uint8"), 512, 2 * 1024 * 30_000),
        (raster(2_000, 4, "uint16"), 1024, 2 * 1536 * 16_000),
        (raster(100_000, 3, "uint8"), 512, GDAL_CACHE_BYTES),
    ],
)
def test_it_grows_with_what_is_read_at_a_time_between_its_bounds(scene, rows, expected) -> None:
    assert cache_bytes(scene, rows) == expected


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rows must be >= 1, got 0"):
        cache_bytes(raster(8, 1, "uint8"), 0)
