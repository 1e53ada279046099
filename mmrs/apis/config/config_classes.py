"""Classes of a config: names, colours, and the number that every head has of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset

from mmrs.apis.config.config_load import nearest
from mmrs.apis.config.config_types import config_name, resolve
from mmrs.errors import ConfigError

# Heads whose classes are not the data set's: a boundary, a depth, an open vocabulary.
_OWN_TARGETS = ("STDCHead", "PIDHead", "VPDDepthHead", "SideAdapterCLIPHead")


def leaf_datasets(dataset: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Yield (key, config) of every data set under wrappers such as ``ConcatDataset``."""
    if isinstance(dataset, list | tuple):
        for index, item in enumerate(dataset):
            yield from leaf_datasets(item, f"{path}[{index}]")
    elif isinstance(dataset, Mapping):
        inner = [key for key in ("dataset", "datasets") if key in dataset]
        if not inner:
            yield path, dataset
        for key in inner:
            yield from leaf_datasets(dataset[key], f"{path}.{key}")


def check_classes(cfg: Config, splits: Sequence[str]) -> tuple[str, ...] | None:
    """Raise where class names, colours and ``num_classes`` do not go together.

    Args:
        cfg: A whole config; its default scope must be initialised.
        splits: Which of train, val, test the run uses.

    Returns:
        The classes; None where the data sets are not ones that name theirs statically.

    Raises:
        ConfigError: With the file and the key.
    """
    name = config_name(cfg)
    first: tuple[str, tuple[str, ...]] | None = None
    for split in splits:
        loader = cfg.get(f"{split}_dataloader")
        if not isinstance(loader, Mapping):
            continue
        for path, dataset in leaf_datasets(loader.get("dataset"), f"{split}_dataloader.dataset"):
            classes = _dataset_classes(dataset, f"{name}: {path}")
            if classes is None:
                continue
            _check_heads(cfg.get("model"), (path, classes), name)
            if first is None:
                first = (path, classes)
            elif classes != first[1] and len(classes) == len(first[1]):
                raise ConfigError(
                    f"classes are {_listed(classes)}, but those of {first[0]} are "
                    f"{_listed(first[1])}",
                    where=f"{name}: {path}.metainfo.classes",
                    fix="name the same classes in the same order",
                )
    return None if first is None else first[1]


def _dataset_classes(dataset: Mapping, where: str) -> tuple[str, ...] | None:
    kind = dataset.get("type")
    cls = resolve(kind, root.DATASETS) if isinstance(kind, str) else kind
    builtin = getattr(cls, "METAINFO", None)
    if builtin is None:
        return None
    title = getattr(cls, "__name__", kind)
    _check_key_case(builtin, f"{title}.METAINFO")
    metainfo = dataset.get("metainfo") or {}
    _check_key_case(metainfo, f"{where}.metainfo")
    known = builtin.get("classes")
    if "classes" in metainfo:
        classes = _read_classes(metainfo["classes"], f"{where}.metainfo.classes")
        if known is not None:
            _check_subset(classes, known, title, f"{where}.metainfo.classes")
    elif known is None:
        # others may read their classes from a file when they are built
        if cls.__init__ is BaseSegDataset.__init__:
            raise no_classes(title, where)
        return None
    else:
        classes = _read_classes(known, f"{title}.METAINFO")
    if "palette" in metainfo:
        _check_palette(metainfo["palette"], classes, f"{where}.metainfo.palette")
    elif known is not None and builtin.get("palette") is not None:
        _check_palette(builtin["palette"], known, f"{title}.METAINFO['palette']")
    return classes


def no_classes(title: str, where: str) -> ConfigError:
    """Return the error for a data set without class names."""
    return ConfigError(
        f"no class names, and {title} has none of its own",
        where=f"{where}.metainfo",
        fix="set metainfo=dict(classes=('background', 'building'), palette=[[0, 0, 0], "
        "[255, 0, 0]])",
    )


def _check_key_case(metainfo: Mapping, where: str) -> None:
    for key in metainfo:
        for right in ("classes", "palette"):
            if key != right and nearest(str(key), [right], cutoff=0.8) and right not in metainfo:
                raise ConfigError(
                    f"{key!r} is not read",
                    where=where,
                    fix=f"write {right!r}" + (", in lower case" if key.lower() == right else ""),
                )


def _read_classes(classes: Any, where: str) -> tuple[str, ...]:
    if isinstance(classes, str):
        if Path(classes).is_file():
            return tuple(Path(classes).read_text(encoding="utf-8").split("\n")[:-1])
        raise ConfigError(
            f"{classes!r} is one string and no file",
            where=where,
            fix=f"write a tuple, ({classes!r},), with the comma",
        )
    if not isinstance(classes, Sequence) or not all(isinstance(c, str) for c in classes):
        raise ConfigError(
            f"class names must be strings, got {classes!r}",
            where=where,
            fix="write classes=('name', ...)",
        )
    if not classes:
        raise ConfigError("there is no class", where=where, fix="name at least one class")
    for index, item in enumerate(classes):
        if item in classes[:index]:
            raise ConfigError(
                f"{item!r} is named twice", where=where, fix="give every class its own name"
            )
    return tuple(classes)


def _check_subset(classes: Sequence[str], known: Sequence[str], title: str, where: str) -> None:
    for item in classes:
        if item in known:
            continue
        guess = nearest(item, list(known))
        fix = f"write {guess!r}" if guess else f"choose from {', '.join(known)}"
        raise ConfigError(f"{item!r} is not a class of {title}", where=where, fix=fix)


def _check_palette(palette: Any, classes: Sequence[str], where: str) -> None:
    if not isinstance(palette, Sequence) or isinstance(palette, str):
        raise ConfigError(
            f"a palette is a list of colours, got {palette!r}",
            where=where,
            fix="write palette=[[r, g, b], ...]",
        )
    if len(palette) != len(classes):
        raise ConfigError(
            f"{len(palette)} colours for {len(classes)} classes ({_listed(classes)})",
            where=where,
            fix="give one [r, g, b] a class, in the same order",
        )
    for index, color in enumerate(palette):
        values = list(color) if isinstance(color, Sequence) else [color]
        if len(values) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
            raise ConfigError(
                f"{color!r} is no colour",
                where=f"{where}[{index}]",
                fix="write [r, g, b], each from 0 to 255",
            )


def _check_heads(model: Any, data: tuple[str, tuple[str, ...]], name: str) -> None:
    if not isinstance(model, Mapping):
        return
    path, classes = data
    for key, head in _heads(model):
        kind = str(head.get("type")).rpartition(".")[2]
        if kind in _OWN_TARGETS or not isinstance(head.get("num_classes"), int):
            continue
        if head["num_classes"] != len(classes):
            raise ConfigError(
                f"num_classes is {head['num_classes']}, but {path} has {len(classes)} classes "
                f"({_listed(classes)})",
                where=f"{name}: {key}.num_classes",
                fix=f"set {key}.num_classes={len(classes)}, or name {head['num_classes']} classes",
            )


def _heads(model: Mapping) -> Iterator[tuple[str, Mapping]]:
    for key in ("decode_head", "auxiliary_head"):
        head = model.get(key)
        if isinstance(head, Mapping):
            yield f"model.{key}", head
        elif isinstance(head, list | tuple):
            for index, item in enumerate(head):
                if isinstance(item, Mapping):
                    yield f"model.{key}[{index}]", item


def _listed(classes: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(classes[:limit])
    return f"{shown}, ..." if len(classes) > limit else shown
