from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from rasterio._err import CPLE_FileIOError
from rasterio.errors import RasterioIOError

from mmrs.geo.disk_space import free_bytes, write_error


def test_the_free_bytes_are_those_of_where_the_file_will_lie(tmp_path: Path) -> None:
    found = free_bytes(tmp_path / "not" / "made" / "yet.tif")
    status = os.statvfs(tmp_path)
    assert found == pytest.approx(status.f_bavail * status.f_frsize, rel=0.1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_what_is_needed_and_free(tmp_path: Path, number: int) -> None:
    told = str(write_error(tmp_path / "a.tif", OSError(number, "x"), needed=12_345))
    assert f"a.tif: cannot be written ({os.strerror(number)}, 12,345 bytes more needed, " in told
    assert told.endswith("bytes free). Fix: free space on the disk")


def test_other_causes_have_another_mend(tmp_path: Path) -> None:
    told = str(write_error(tmp_path / "a.tif", OSError(errno.EROFS, "x"), needed=1))
    assert told.endswith("written (Read-only file system). Fix: choose a place that can be written")


@pytest.mark.parametrize("error", [RasterioIOError("a\nb"), CPLE_FileIOError(3, 3, "a\nb")])
def test_what_gdal_says_is_told_in_one_line(tmp_path: Path, error: Exception) -> None:
    told = str(write_error(tmp_path / "a.tif", error))
    assert "a.tif: cannot be written (a b, " in told and "bytes free" in told
