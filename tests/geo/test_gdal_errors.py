from __future__ import annotations

from pathlib import Path

import pytest
from rasterio._err import CPLE_AppDefinedError
from rasterio.errors import RasterioIOError

from mmrs.errors import DataError
from mmrs.geo.gdal_errors import gdal_errors, short_message


@pytest.mark.parametrize(
    "error",
    [
        RasterioIOError("map.tif: Read failed"),
        CPLE_AppDefinedError(3, 1, "'map.tif' Read failed"),
        ValueError("Read failed"),
        KeyError("Read failed"),
    ],
)
def test_whatever_gdal_raises_is_one_line_with_the_file_once(error: Exception) -> None:
    with pytest.raises(DataError) as caught, gdal_errors(Path("map.tif"), "it cannot be read"):
        raise error
    told = str(caught.value)
    assert told.startswith("map.tif: it cannot be read (") and told.count("map.tif") == 1
    assert "Read failed" in told and told.endswith("Fix: the file is damaged; fetch it again")


def test_the_cause_is_told_where_there_is_one() -> None:
    with pytest.raises(DataError, match=r"a: it fails \(the cause\)"):
        with gdal_errors(Path("a"), "it fails"):
            raise RasterioIOError("see context") from ValueError("the cause")


def test_too_little_memory_has_a_mend_of_its_own() -> None:
    with pytest.raises(DataError, match=r"a: it fails: that needs more memory.*Fix: read it by"):
        with gdal_errors(Path("a"), "it fails"):
            raise MemoryError


def test_what_is_already_told_or_a_bug_passes() -> None:
    told = DataError("told")
    with pytest.raises(DataError) as caught, gdal_errors(Path("a"), "it fails"):
        raise told
    assert caught.value is told
    with pytest.raises(ZeroDivisionError), gdal_errors(Path("a"), "it fails"):
        raise ZeroDivisionError


def test_messages_lose_the_path() -> None:
    assert short_message(ValueError("/x/a.tif: bad"), Path("/x/a.tif")) == "bad"
