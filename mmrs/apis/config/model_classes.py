"""Names and colours of a trained model's classes, from whoever knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmseg.registry import DATASETS

from mmrs.apis.config.config_classes import leaf_datasets
from mmrs.errors import CheckpointError
from mmrs.geo.palette import check_palette, default_palette


def class_names(
    cfg: Config, meta: Mapping[str, Any], num_classes: int, checkpoint: str | Path
) -> tuple[Sequence[str], list[tuple[int, int, int]]]:
    """Names and colours: the checkpoint's own, those of the config's data set, or numbers.

    Args:
        cfg: The config; its default scope must be initialised.
        meta: Of the checkpoint.
        num_classes: That the network tells apart.
        checkpoint: The file to name.

    Raises:
        CheckpointError: Their number is not the network's, or the colours are none.
    """
    info = next((each for each in _known(cfg, meta, num_classes) if each.get("classes")), {})
    classes = info.get("classes") or [f"class {index}" for index in range(num_classes)]
    if len(classes) != num_classes:
        raise CheckpointError(
            f"it knows {len(classes)} classes, the model has {num_classes}",
            where=checkpoint,
            fix=f"set num_classes={len(classes)} of every head, and train again",
        )
    palette = info.get("palette")
    if palette is None or not len(palette):
        palette = default_palette(num_classes)
    try:
        return classes, check_palette(palette, num_classes)
    except ValueError as error:
        raise CheckpointError(str(error), where=checkpoint, fix="mend metainfo.palette") from error


def _known(cfg: Config, meta: Mapping[str, Any], num_classes: int) -> Iterator[Mapping[str, Any]]:
    told = meta.get("dataset_meta")
    yield told if isinstance(told, Mapping) else {}
    # as MMSegmentation wrote it before 1.0, and as its published weights have it
    yield {"classes": meta.get("CLASSES"), "palette": meta.get("PALETTE")}
    loader = cfg.get("test_dataloader") or {}
    for _, dataset in leaf_datasets(loader.get("dataset"), ""):
        stated = dataset.get("metainfo") or {}
        if not isinstance(stated.get("classes"), str):  # the name of a file
            yield stated
        kind = dataset.get("type")
        builtin = getattr(DATASETS.get(kind) if isinstance(kind, str) else kind, "METAINFO", {})
        if len(builtin.get("classes") or ()) == num_classes:
            yield builtin
