"""What GDAL raises of a damaged file, told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from mmrs.errors import DataError


@contextmanager
def gdal_errors(path: Path, told: str) -> Iterator[None]:
    """Tell in one line what GDAL, or rasterio on its behalf, raises of a damaged file.

    Args:
        path: The file.
        told: What cannot be done with it.

    Raises:
        DataError: In place of theirs.
    """
    try:
        yield
    except DataError:
        raise
    # CPLE_BaseError is what rasterio forgets to translate
    except (RasterioError, CPLE_BaseError, ValueError, TypeError, KeyError) as error:
        cause = short_message(error.__cause__ or error, path)
        raise DataError(
            f"{told} ({cause})", where=path, fix="the file is damaged; fetch it again"
        ) from error
    except MemoryError as error:
        raise DataError(
            f"{told}: that needs more memory than there is",
            where=path,
            fix="read it by windows (mmrs.RasterSegDataset); if it should be small, its header "
            "is damaged",
        ) from error


def short_message(error: BaseException, path: Path) -> str:
    """GDAL's message without the path, which the error line begins with anyway."""
    return str(error).replace(f"'{path}' ", "").replace(f"{path}: ", "")
