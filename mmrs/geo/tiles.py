"""A given number of tiles, evenly spread: the stride follows from the count."""

from __future__ import annotations

from mmrs.geo.windows import WindowPlan


def even_starts(length: int, tile: int, count: int) -> tuple[int, ...]:
    """First pixels of ``count`` tiles, the first at 0, the last flush, the others even between.

    The stride, (length - tile) / (count - 1), need not be whole: starts are rounded to the
    nearest pixel, halves up, so that steps differ by at most one.

    Args:
        length: Pixels to cover, at least ``tile``.
        tile: Pixels of a tile, at least 1.
        count: Number of tiles, at least 1; enough to leave no gap.

    Returns:
        ``count`` ascending starts.

    Raises:
        ValueError: A number is out of range, or the tiles would leave a gap.

    Source: the dilated-SPP paper: 13 tiles of 512 px along 6000 px, a stride of 457.33.
    """
    for name, value in (("tile", tile), ("count", count)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    if length < tile:
        raise ValueError(f"length must be >= tile ({tile}), got {length}")
    if count * tile < length:
        raise ValueError(
            f"count must be >= {-(-length // tile)} for tiles of {tile} to cover {length}, "
            f"got {count}"
        )
    if count - 1 > length - tile:
        raise ValueError(
            f"count must be <= {length - tile + 1} for no tile of {tile} in {length} to come "
            f"twice, got {count}"
        )
    steps = max(count - 1, 1)
    return tuple((2 * i * (length - tile) + steps) // (2 * steps) for i in range(count))


def even_tiles(height: int, width: int, tile: int, count: int) -> WindowPlan:
    """``count`` x ``count`` square tiles over a raster, evenly spread and flush with its edges.

    Args:
        height: Rows of the raster.
        width: Columns of the raster.
        tile: Side of a tile in pixels.
        count: Tiles along each side.

    Returns:
        The plan, in reading order.

    Raises:
        ValueError: As `even_starts`.
    """
    return WindowPlan(
        height=height,
        width=width,
        row_starts=even_starts(height, tile, count),
        col_starts=even_starts(width, tile, count),
        window_height=tile,
        window_width=tile,
    )
