"""Writing class maps: GeoTIFFs on the scene's grid, with a colour table and class names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.geo.atomic import atomic_path
from mmrs.geo.georeference import Georeference
from mmrs.geo.maps.raster_options import RasterLayout, RasterOptions
from mmrs.geo.maps.raster_output import RasterOutput, check_suffix, raster_output, remove_companions
from mmrs.geo.palette import NODATA_LABEL, check_palette, colour_table


class ClassMapWriter:
    """Takes a class map's rows from the top down; made by ``write_class_map``."""

    def __init__(self, output: RasterOutput, width: int):
        self._output = output
        self._width = width

    @property
    def rows(self) -> int:
        """Rows taken so far."""
        return self._output.rows

    def write_rows(self, labels: NDArray[np.uint8]) -> None:
        """Append rows.

        Args:
            labels: (n, width) class indices, 255 where there is no prediction.

        Raises:
            ValueError: If the width or type differs, or there are more rows than the map has.
            OutputError: If they cannot be written.
        """
        if labels.dtype != np.uint8 or labels.ndim != 2 or labels.shape[1] != self._width:
            raise ValueError(
                f"labels must be (n, {self._width}) uint8, got {labels.shape} {labels.dtype}"
            )
        self._output.write_rows(labels[None])


@contextmanager
def write_class_map(
    path: str | Path,
    *,
    height: int,
    width: int,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    georeference: Georeference | None = None,
    options: RasterOptions | None = None,
) -> Iterator[ClassMapWriter]:
    """Write a class map that appears at ``path`` only when it is complete and proven readable.

    Args:
        path: Where to, ``.tif`` or ``.tiff``.
        height: Rows.
        width: Columns.
        classes: Names, in the order of the indices; kept in the tag ``CLASS_NAMES`` as JSON.
        palette: RGB of each class; becomes the colour table.
        georeference: Of the scene; the map lies on the same grid.
        options: How it is stored.

    Yields:
        The writer; give it every row before the block ends.

    Raises:
        OutputError: If the path cannot be written, rows are missing, or the file reads back
            other than it was written.  What ``path`` held before is then untouched.
    """
    path = Path(path)
    check_suffix(path, "a class map")
    with atomic_path(path, keep_aux=True) as temporary:
        with class_map_output(
            temporary,
            path,
            height=height,
            width=width,
            classes=classes,
            palette=palette,
            georeference=georeference,
            options=options,
        ) as output:
            yield ClassMapWriter(output, width)
        remove_companions(path)


@contextmanager
def class_map_output(
    temporary: Path,
    target: Path,
    *,
    height: int,
    width: int,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    georeference: Georeference | None = None,
    options: RasterOptions | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[RasterOutput]:
    """As ``write_class_map``, for callers that rename the file themselves.

    Args:
        temporary: Where to.
        target: What it will become, for the messages.
        height: Rows.
        width: Columns.
        classes: Names.
        palette: RGB of each class.
        georeference: Of the scene.
        options: How it is stored.
        tags: More to say in the file.

    Yields:
        The writer of labels (1, n, width) uint8; give it every row before the block ends.

    Raises:
        OutputError: As ``write_class_map``.
    """
    colours = check_palette(palette, len(classes))

    def describe(dataset: Any) -> None:
        dataset.write_colormap(1, colour_table(colours))
        dataset.set_band_description(1, "class")
        names = json.dumps(list(classes), ensure_ascii=False)
        dataset.update_tags(**(tags or {}), CLASS_NAMES=names)

    layout = RasterLayout(height, width, 1, "uint8", NODATA_LABEL, is_score=False)
    with raster_output(
        temporary,
        target,
        layout,
        options=options or RasterOptions(),
        georeference=georeference,
        describe=describe,
    ) as output:
        yield output
