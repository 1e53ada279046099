"""Writing scores: rasters of probabilities, confidence or entropy on the scene's grid."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmrs.geo.georeference import Georeference
from mmrs.geo.maps.raster_options import RasterLayout, RasterOptions
from mmrs.geo.maps.raster_output import RasterOutput, raster_output
from mmrs.geo.rows.score_codes import ScoreCode


@contextmanager
def score_map_output(
    temporary: Path,
    target: Path,
    *,
    height: int,
    width: int,
    bands: Sequence[str],
    code: ScoreCode,
    georeference: Georeference | None = None,
    options: RasterOptions | None = None,
    classes: Sequence[str] = (),
) -> Iterator[RasterOutput]:
    """Write scores to ``temporary``; at the end of the block it is complete and proven readable.

    Whole numbers carry GDAL's scale, by which programs show them as 0 to 1.

    Args:
        temporary: Where to.
        target: What it will become, for the messages.
        height: Rows.
        width: Columns.
        bands: What the bands are called.
        code: How scores are stored; its nodata is declared.
        georeference: Of the scene; the scores lie on the same grid.
        options: How it is stored.
        classes: Kept in the tag ``CLASS_NAMES`` as JSON, where given.

    Yields:
        The writer of codes (bands, n, width); give it every row before the block ends.

    Raises:
        OutputError: If it cannot be written, rows are missing, or it reads back other than it was
            written.
    """

    def describe(dataset: Any) -> None:
        for index, name in enumerate(bands, start=1):
            dataset.set_band_description(index, name)
        if code.steps:
            dataset.scales = [code.scale] * len(bands)
            dataset.offsets = [0.0] * len(bands)
        if classes:
            dataset.update_tags(CLASS_NAMES=json.dumps(list(classes), ensure_ascii=False))

    layout = RasterLayout(height, width, len(bands), code.dtype, code.nodata, is_score=True)
    with raster_output(
        temporary,
        target,
        layout,
        options=options or RasterOptions(),
        georeference=georeference,
        describe=describe,
    ) as output:
        yield output
