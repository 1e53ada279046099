"""A bounded look at the data before a run: files, sizes, label ids, and what they become."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.registry import DATASETS
from numpy.typing import NDArray
from PIL import Image

from mmrs.apis.build_errors import explain_build_error
from mmrs.apis.config_classes import leaf_datasets as leaf_configs
from mmrs.apis.config_classes import no_classes
from mmrs.apis.config_keys import accepted_parameters
from mmrs.apis.config_types import resolve
from mmrs.apis.data_files import check_files, check_pairs, missing_folder, no_files, quiet_pillow
from mmrs.apis.guarded_pipeline import GuardedPipeline, check_of, leaf_datasets
from mmrs.apis.label_table import LabelTable, empty_table
from mmrs.errors import DataError, LabelError, MmrsError
from mmrs.label_check import check_label_shape, check_labels

# Transforms of these packages never change what a label id means (``maps_labels`` ones aside).
_KNOWN_PACKAGES = ("mmcv", "mmengine", "mmrs", "mmseg")


def check_data(cfg: Config, splits: Sequence[str], *, seconds: float = 10.0) -> list[LabelTable]:
    """Look at the data sets of a run, for a bounded time, the first sample of each in full.

    What comes later in a folder than the time allows is still checked by the worker that
    reads it (:class:`~mmrs.apis.guarded_pipeline.GuardedPipeline`).

    Args:
        cfg: A whole config; its default scope must be initialised.
        splits: Which of train, val, test the run uses.
        seconds: For all data sets together; 0 looks at the first sample only.

    Returns:
        The label tables of the data sets that have labels.

    Raises:
        DataError, LabelError: The first wrong file, or folder.
        ConfigError: A data set cannot be built.
    """
    leaves = [leaf for split in splits for leaf in _build(cfg, split)]
    tables = []
    for index, (key, dataset) in enumerate(leaves):
        share = seconds / (len(leaves) - index)
        started = time.monotonic()
        table = _check_dataset(key, dataset, started + share)
        seconds = max(0.0, seconds - (time.monotonic() - started))
        if table is not None:
            tables.append(table)
    return tables


def _build(cfg: Config, split: str) -> Iterator[tuple[str, Any]]:
    loader = cfg.get(f"{split}_dataloader")
    if not isinstance(loader, Mapping) or not isinstance(loader.get("dataset"), Mapping):
        return
    key = f"{split}_dataloader.dataset"
    with DATASETS.switch_scope_and_registry(None) as registry:
        try:
            dataset = registry.build(_unserialized(loader["dataset"]))
            if hasattr(dataset, "full_init"):
                dataset.full_init()
        except MmrsError:
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise missing_folder(error, key) from error
        except Exception as error:
            raise explain_build_error(error, cfg, key) from error
    leaves = list(leaf_datasets(dataset))
    for index, leaf in enumerate(leaves):
        yield (key if len(leaves) == 1 else f"{key} (part {index})"), leaf


def _unserialized(dataset: Any) -> Any:
    """Copy a data set's config; its list stays a list, for an empty one cannot be serialised."""
    dataset = copy.deepcopy(dataset)
    for _, leaf in leaf_configs(dataset, ""):
        target = resolve(str(leaf.get("type")), DATASETS)
        if target is not None and "serialize_data" in accepted_parameters(target)[0]:
            leaf["serialize_data"] = False
    return dataset


def _check_dataset(key: str, dataset: Any, deadline: float) -> LabelTable | None:
    if len(dataset) == 0:
        raise no_files(key, dataset)
    if not hasattr(dataset, "get_data_info"):
        return None
    if not (getattr(dataset, "metainfo", None) or {}).get("classes"):
        raise no_classes(type(dataset).__name__, key)
    transforms = getattr(getattr(dataset, "pipeline", None), "transforms", [])
    labels = _reads_labels(transforms)
    check_pairs(key, dataset, labels=labels)
    table = empty_table(key, dataset) if _load_steps(transforms) else None
    for count, index in enumerate(_spread(len(dataset))):
        if count and time.monotonic() > deadline:
            break
        info = dataset.get_data_info(index)
        check_files(info, labels=labels)
        if table is not None and info.get("seg_map_path"):
            _check_label_file(info, dataset, transforms, table)
    if table is not None:
        _refuse_0_255(table, dataset)
    # the whole pipeline once: a transform that cannot work should not wait for a worker
    GuardedPipeline(transforms, check=check_of(dataset))(dataset.get_data_info(0))
    return table if table is not None and table.files else None


def _spread(count: int) -> list[int]:
    """The first sample, then the others in an order that is even over the folder."""
    return [0, *(1 + np.random.default_rng(0).permutation(count - 1)).tolist()]


def _reads_labels(transforms: Sequence[Any]) -> bool:
    """Whether any step reads labels, those of test-time augmentation included."""
    for step in transforms:
        if isinstance(step, LoadAnnotations):
            return True
        inner = [*getattr(step, "transforms", []), *getattr(step, "subroutines", [])]
        if inner and _reads_labels(inner):
            return True
    return False


def _load_steps(transforms: Sequence[Any]) -> list[Any]:
    """Return the steps that make ``gt_seg_map`` from the file; [] where they are not known."""
    if not any(isinstance(step, LoadAnnotations) for step in transforms):
        return []
    return [
        step
        for step in transforms
        if isinstance(step, LoadAnnotations) or getattr(step, "maps_labels", False)
    ]


def _check_label_file(
    info: dict, dataset: Any, transforms: Sequence[Any], table: LabelTable
) -> None:
    path = info["seg_map_path"]
    steps = _load_steps(transforms)
    colored = any(type(step).__name__ == "MapColors" for step in steps)
    raw = _read_raw(path)
    if raw is not None and not colored:
        _refuse_picture(raw, path, dataset)
        if raw.size and (raw.min() < 0 or raw.max() > 255):
            raise LabelError(
                f"values {raw.min()} to {raw.max()}; they are cut to a byte when loaded",
                where=path,
                fix="save the labels as 8-bit class ids",
            )
    data: Any = {key: list(v) if isinstance(v, list) else v for key, v in info.items()}
    try:
        for step in steps:
            data = step(data)
    except MmrsError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise DataError(
            f"cannot be loaded as a label ({type(error).__name__}: {text})",
            where=path,
            fix="replace it, or take the pair out of the data set",
        ) from error
    labels = np.asarray(data["gt_seg_map"])
    table.add(None if colored or raw is None else raw, labels)
    foreign = [s for s in transforms if type(s).__module__.split(".")[0] not in _KNOWN_PACKAGES]
    if foreign:
        return  # a step of the user's own may give the ids their meaning later
    try:
        check_labels(
            labels,
            num_classes=len(table.classes),
            ignore_index=table.ignore_index,
            where=path,
            reduce_zero_label=table.reduce_zero_label,
        )
    except LabelError as error:
        values = len(np.unique(labels))
        if values > len(table.classes) + 8:
            raise LabelError(
                f"{error.what}; the file holds {values} different values",
                where=path,
                fix="a grey or anti-aliased mask must be turned into class ids first",
            ) from error
        raise


def _read_raw(path: str) -> NDArray | None:
    """Return the ids of a label file as they are stored, (H, W) or (H, W, bands)."""
    try:
        with quiet_pillow(), Image.open(path) as picture:
            array = np.asarray(picture)
    except (OSError, ValueError, SyntaxError):
        return None  # not Pillow's: the loading step below tells whether it is readable
    return array.astype(np.uint8) if array.dtype == bool else array


def _refuse_picture(raw: NDArray, path: str, dataset: Any) -> None:
    """Ask for the colour map where a label is a picture, with what is known of its colours."""
    if raw.ndim == 2:
        return
    palette = [tuple(c) for c in (dataset.metainfo.get("palette") or [])]
    if raw.ndim != 3 or raw.shape[2] not in (3, 4) or not palette:
        check_label_shape(raw, where=path)
    colors, pixels = np.unique(raw[..., :3].reshape(-1, 3), axis=0, return_counts=True)
    unknown = [
        (tuple(c), n)
        for c, n in zip(colors.tolist(), pixels.tolist(), strict=True)
        if tuple(c) not in palette
    ]
    told = f"{len(colors) - len(unknown)} of its {len(colors)} colours are in the palette"
    if unknown:
        first = tuple(int(v) for v in unknown[0][0])
        told += f", {len(unknown)} are not ({sum(n for _, n in unknown)} pixels, such as {first})"
    raise LabelError(
        f"a colour picture ({raw.shape[2]} channels), but labels must be class ids; {told}",
        where=path,
        fix="give the colour map: dict(type='mmrs.MapColors', colors=[(r, g, b), ...]) after "
        "LoadAnnotations, one colour a class",
    )


def _refuse_0_255(table: LabelTable, dataset: Any) -> None:
    """Masks of 0 and 255: 255 is what is ignored, so the class that they mark does not exist."""
    raw = {value for value, _ in table.counts}
    ignored = {value for value, train in table.counts if train == table.ignore_index}
    if raw - {0, 255} or 255 not in ignored or len(table.classes) < 2:
        return
    name = table.classes[1]
    raise LabelError(
        f"the {table.files} label files read hold only {' and '.join(map(str, sorted(raw)))}, and "
        f"255 is ignored, so class 1 ({name}) has no pixel",
        where=f"{table.key} ({dataset.get_data_info(0)['seg_map_path']})",
        fix="map them: dict(type='mmrs.MapLabels', label_map={255: 1}) after LoadAnnotations"
        + (", and reduce_zero_label=False" if table.reduce_zero_label else ""),
    )
