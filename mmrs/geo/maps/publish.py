"""From the rows that a spool keeps to the files that users open: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrs.errors import OutputError
from mmrs.geo.atomic import atomic_paths
from mmrs.geo.georeference import Georeference
from mmrs.geo.maps.class_map import class_map_output
from mmrs.geo.maps.raster_options import RasterOptions
from mmrs.geo.maps.raster_output import RasterOutput, check_suffix, remove_companions
from mmrs.geo.maps.score_map import score_map_output
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.rows.row_spool import RowSpool
from mmrs.geo.rows.scene_rows import SceneRows


@dataclass(frozen=True)
class Targets:
    """What becomes of a scene's rows.

    Attributes:
        class_map: Class indices, 255 = nodata.
        probabilities: Of every class, a band each; None: not written.
        confidence: The largest probability; likewise.
        entropy: Of the probabilities, 0 to 1; likewise.
        options: How rasters are stored.
    """

    class_map: Path
    probabilities: Path | None = None
    confidence: Path | None = None
    entropy: Path | None = None
    options: RasterOptions = field(default_factory=RasterOptions)

    @property
    def scores(self) -> dict[str, Path]:
        """The score rasters that are wanted, by the name of their array."""
        named = {
            "probabilities": self.probabilities,
            "confidence": self.confidence,
            "entropy": self.entropy,
        }
        return {name: Path(path) for name, path in named.items() if path is not None}

    @property
    def paths(self) -> list[Path]:
        """Every file that is written, the class map last: where it is, all others are."""
        return [*self.scores.values(), Path(self.class_map)]


def publish(
    spool: RowSpool,
    targets: Targets,
    *,
    georeference: Georeference | None,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    sinks: Sequence[Callable[[SceneRows], None]] = (),
    finish: Callable[[], None] | None = None,
    tags: Mapping[str, str] | None = None,
) -> NDArray[np.int64]:
    """Write every file in one pass over the spool; they appear when all were read back.

    The spool is left as it is: delete it when nothing more is needed of it.

    Args:
        spool: With all rows of the scene.
        targets: What is written.
        georeference: Of the scene.
        classes: Names, in the order of the indices.
        palette: RGB of each class.
        sinks: Each is given all rows from the top down, as they are published: scores are those
            of the files, to their last step.
        finish: Called after the last row, before any file appears; where it raises, none does.
        tags: More to say in the class map.

    Returns:
        (256,) how often each label occurs.

    Raises:
        ValueError: The spool lacks rows or scores, or two files have one name.
        OutputError: A file cannot be written or reads back other than it was written; then none
            of the targets is touched.
    """
    _check(spool, targets)
    counts = np.zeros(256, dtype=np.int64)
    with atomic_paths(targets.paths, keep_aux=True) as temporaries:
        with ExitStack() as stack:
            outputs = {
                name: stack.enter_context(output)
                for name, output in _outputs(
                    spool, targets, temporaries, georeference, classes, palette, tags
                )
            }
            for arrays in spool.read_codes():
                for name, output in outputs.items():
                    codes = arrays[name]
                    output.write_rows(codes if codes.ndim == 3 else codes[None])
                counts += count_labels(arrays["labels"], len(classes))
                if sinks:
                    rows = spool.decode(arrays)
                    for sink in sinks:
                        sink(rows)
        if finish is not None:
            finish()
        for path in targets.paths:
            remove_companions(path)
    return counts


def count_labels(labels: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """How often each value occurs, (256,); quick where all are classes or nodata."""
    counts = np.zeros(256, dtype=np.int64)
    for label in (*range(num_classes), NODATA_LABEL):
        # many times as fast as bincount, which makes 8-byte integers of the labels first
        counts[label] = np.count_nonzero(labels == label)
    if counts.sum() != labels.size:
        return np.bincount(labels.ravel(), minlength=256)
    return counts


def _check(spool: RowSpool, targets: Targets) -> None:
    if spool.rows != spool.height:
        raise ValueError(f"the spool holds {spool.rows} of {spool.height} rows")
    missing = [name for name in targets.scores if not getattr(spool.wanted, name)]
    if missing:
        raise ValueError(f"the spool holds no {missing[0]}")
    paths = [path.resolve() for path in targets.paths]
    for index, path in enumerate(paths):
        check_suffix(targets.paths[index], "a map")
        if path in paths[:index]:
            raise OutputError(
                "two of the outputs are this one file",
                where=targets.paths[index],
                fix="give each a name of its own",
            )


def _outputs(
    spool: RowSpool,
    targets: Targets,
    temporaries: Sequence[Path],
    georeference: Georeference | None,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    tags: Mapping[str, str] | None,
) -> Iterator[tuple[str, AbstractContextManager[RasterOutput]]]:
    """The array of the spool that each file holds, and the file's writer."""
    yield (
        "labels",
        class_map_output(
            temporaries[-1],
            Path(targets.class_map),
            height=spool.height,
            width=spool.width,
            classes=classes,
            palette=palette,
            georeference=georeference,
            options=targets.options,
            tags=tags,
        ),
    )
    for temporary, (name, path) in zip(temporaries[:-1], targets.scores.items(), strict=True):
        yield (
            name,
            score_map_output(
                temporary,
                path,
                height=spool.height,
                width=spool.width,
                bands=list(classes) if name == "probabilities" else [name],
                code=spool.code,
                georeference=georeference,
                options=targets.options,
                classes=classes,
            ),
        )
