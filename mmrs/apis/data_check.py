"""A bounded look at the data before a run: files, sizes, label ids, and what they become."""

from __future__ import annotations

import copy
import logging
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.registry import DATASETS
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from prettytable import PrettyTable

from mmrs.apis.build_errors import explain_build_error
from mmrs.apis.config_classes import leaf_datasets as leaf_configs
from mmrs.apis.config_classes import no_classes
from mmrs.apis.config_types import accepted_parameters, resolve
from mmrs.apis.guarded_pipeline import GuardedPipeline, check_of, leaf_datasets
from mmrs.errors import DataError, LabelError, MmrsError
from mmrs.label_check import check_label_shape, check_labels

# Transforms of these packages never change what a label id means (``maps_labels`` ones aside).
_KNOWN_PACKAGES = ("mmcv", "mmengine", "mmrs", "mmseg")


@dataclass
class LabelTable:
    """What the ids in the label files become, over the files that were read.

    Attributes:
        key: The data set's place in the config.
        classes: Names, in id order.
        ignore_index: The train id of what does not count.
        reduce_zero_label: The data set's setting.
        files: Number of label files read.
        total: Number of label files there are.
        counts: (id in the file, train id) -> pixels; the first is None for colour pictures.
    """

    key: str
    classes: tuple[str, ...]
    ignore_index: int
    reduce_zero_label: bool
    total: int
    files: int = 0
    counts: Counter = field(default_factory=Counter)

    def add(self, raw: NDArray | None, labels: NDArray) -> None:
        """Count one file: its ids (H, W), None for a colour picture, and the train ids."""
        self.files += 1
        if raw is None or raw.shape != labels.shape:
            ids, pixels = np.unique(labels, return_counts=True)
            pairs = [(None, int(i)) for i in ids]
        else:
            packed = (raw.astype(np.int64) << 16) | (labels.astype(np.int64) & 0xFFFF)
            codes, pixels = np.unique(packed, return_counts=True)
            pairs = [(int(code >> 16), int(code & 0xFFFF)) for code in codes]
        for pair, count in zip(pairs, pixels.tolist(), strict=True):
            self.counts[pair] += count

    def text(self) -> str:
        """Return the table as it is printed before training."""
        table = PrettyTable(["id in file", "train id", "class", "pixels"])
        table.align = "r"
        table.align["class"] = "l"
        for (raw, train), pixels in sorted(
            self.counts.items(), key=lambda item: str(item[0][0]).zfill(5)
        ):
            if train == self.ignore_index:
                name = "(ignored)"
            else:
                name = self.classes[train] if train < len(self.classes) else "(no class)"
            table.add_row(["colour" if raw is None else raw, train, name, pixels])
        seen = {train for _, train in self.counts}
        for index, name in enumerate(self.classes):
            if index not in seen:
                table.add_row(["-", index, name, 0])
        return (
            f"labels of {self.key} ({self.files} of {self.total} files read, "
            f"reduce_zero_label={self.reduce_zero_label}):\n{table.get_string()}"
        )


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
            raise _missing_folder(error, key) from error
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
        raise _no_files(key, dataset)
    if not hasattr(dataset, "get_data_info"):
        return None
    if not (getattr(dataset, "metainfo", None) or {}).get("classes"):
        raise no_classes(type(dataset).__name__, key)
    _check_pairs(key, dataset)
    info = dataset.get_data_info(0)
    transforms = getattr(getattr(dataset, "pipeline", None), "transforms", [])
    table = _empty_table(key, dataset) if _load_steps(transforms) else None
    for count, index in enumerate(_spread(len(dataset))):
        if count and time.monotonic() > deadline:
            break
        info = dataset.get_data_info(index)
        _check_files(info)
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


def _check_pairs(key: str, dataset: Any) -> None:
    """Every image has its label file: by folder listings, which are cheap where stat is not."""
    if getattr(dataset, "backend_args", None):
        return  # not on a file system
    listings: dict[str, set[str]] = {}
    missing = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        for name in ("img_path", "seg_map_path"):
            path = info.get(name)
            if not isinstance(path, str):
                continue
            folder, file = os.path.split(path)
            if folder not in listings:
                listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
            if file not in listings[folder]:
                missing.append(path)
    if missing:
        more = f" (and {len(missing) - 1} more of {len(dataset)} samples)" if missing[1:] else ""
        raise DataError(
            f"there is no such file{more}, but {key} lists it",
            where=missing[0],
            fix=_missing_pair_fix(missing[0], listings[os.path.dirname(missing[0])], dataset, key),
        )


def _missing_pair_fix(path: str, listing: set[str], dataset: Any, key: str) -> str:
    """Say which suffix the labels have, where one of that name is there with another."""
    suffix = getattr(dataset, "seg_map_suffix", "")
    stem = os.path.basename(path).removesuffix(suffix)
    for name in sorted(listing):
        if stem and name.startswith(stem) and name[len(stem) :].startswith((".", "_", "-")):
            return f"set {key}.seg_map_suffix={name[len(stem) :]!r}: there is {name}"
    if not listing:
        return f"{os.path.dirname(path)} is empty or no folder: check {key}.data_prefix"
    return (
        "give every image its label of the same name, or check data_prefix, img_suffix and "
        f"seg_map_suffix; that folder holds names such as {min(listing)}"
    )


def _check_files(info: Mapping) -> None:
    """Headers of one pair: both are readable and of one size."""
    image, label = info.get("img_path"), info.get("seg_map_path")
    if not isinstance(image, str) or not os.path.isfile(image):
        return  # on a server: the worker that reads it will tell
    image_size = _size(image, "image")
    if not isinstance(label, str) or not os.path.isfile(label):
        return
    label_size = _size(label, "label")
    if image_size != label_size:
        raise DataError(
            f"label is {label_size[0]} x {label_size[1]} but its image {image} is "
            f"{image_size[0]} x {image_size[1]} (rows x columns)",
            where=label,
            fix="give image and label the same size",
        )


def _size(path: str, kind: str) -> tuple[int, int]:
    """Return (rows, columns) from the header."""
    try:
        with _quiet_pillow(), Image.open(path) as picture:
            return picture.height, picture.width
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        size = _raster_size(path)
        if size is not None:
            return size
        raise DataError(
            f"cannot be read as an {kind}" if kind == "image" else f"cannot be read as a {kind}",
            where=path,
            fix=f"replace it, or take it out of the data set; it begins with {_head(path)}",
        ) from error


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow logs what it cannot open besides raising it."""
    pillow = logging.getLogger("PIL")
    before = pillow.level
    pillow.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        pillow.setLevel(before)


def _raster_size(path: str) -> tuple[int, int] | None:
    """Return the size of what Pillow does not know: many bands, 16 bits, tiles."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as raster:
                return raster.height, raster.width
    except rasterio.errors.RasterioError:
        return None


def _head(path: str) -> str:
    with open(path, "rb") as file:
        return repr(file.read(12))[1:]


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
        with _quiet_pillow(), Image.open(path) as picture:
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


def _empty_table(key: str, dataset: Any) -> LabelTable | None:
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    if not classes:
        return None
    return LabelTable(
        key=key,
        classes=tuple(classes),
        ignore_index=getattr(dataset, "ignore_index", 255),
        reduce_zero_label=bool(getattr(dataset, "reduce_zero_label", False)),
        total=len(dataset),
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


def _missing_folder(error: OSError, key: str) -> DataError:
    path = Path(error.filename or "")
    parent = path
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    held = sorted(p.name for p in parent.iterdir())[:6] if parent.is_dir() else []
    found = f"{parent} holds {', '.join(held)}" if held else f"{parent} is empty"
    return DataError(
        f"there is no such folder ({key}); {found}",
        where=path,
        fix="put the data there, or set data_root and data_prefix "
        f"(--cfg-options {key.split(' ')[0]}.data_root=...)",
    )


def _no_files(key: str, dataset: Any) -> DataError:
    folder = Path(dataset.data_prefix.get("img_path") or ".")
    wanted = getattr(dataset, "img_suffix", "")
    found = Counter(p.suffix for p in folder.rglob("*") if p.is_file())
    if not found:
        what = "it is empty"
    else:
        what = "found " + ", ".join(f"{n} x {s or '(no suffix)'}" for s, n in found.most_common(4))
    split = f" listed in {dataset.ann_file}" if getattr(dataset, "ann_file", "") else ""
    fix = f"put the images there, or set {key.split(' ')[0]}.data_prefix"
    if found and wanted not in found:
        fix = f"set {key.split(' ')[0]}.img_suffix={found.most_common(1)[0][0]!r}"
    return DataError(f"no images with suffix {wanted!r}{split}; {what}", where=folder, fix=fix)
