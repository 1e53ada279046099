"""Whether the options of a raster data set are what they should be, before a file is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmrs.errors import ConfigError

# of `BaseSegDataset`, which finds its files by them
_NOT_USED = ("ann_file", "data_prefix", "img_suffix", "seg_map_suffix")


def check_raster_options(
    options: Mapping[str, Any], *, pipeline: Sequence[Any], further: Mapping[str, Any]
) -> None:
    """Raise where an option of `mmrs.RasterSegDataset` has no meaning.

    Args:
        options: ``bands``, ``area``, ``max_open_files``, and those that are mappings or None:
            ``window_sampler``, ``scaling``, ``label_map``, ``class_of``.
        pipeline: Its steps.
        further: What is handed to `mmseg.datasets.BaseSegDataset`.

    Raises:
        ConfigError: With the option.
    """
    for key in ("window_sampler", "scaling", "label_map", "class_of"):
        if options[key] is not None and not isinstance(options[key], Mapping):
            raise _wrong(key, f"must be a dict, got {options[key]!r}", "write dict(...)")
    for old, new in (options["label_map"] or {}).items():
        if not all(_is_whole(value) for value in (old, new)):
            raise _wrong("label_map", f"{old!r}: {new!r} maps no id", "map whole numbers")
    bands = options["bands"]
    if bands is not None and not (
        _is_list(bands) and bands and all(_is_whole(band, least=1) for band in bands)
    ):
        raise _wrong(
            "bands", f"must be whole numbers from 1 on, got {bands!r}", "such as [4, 3, 2]"
        )
    if not _is_whole(options["max_open_files"], least=1):
        value = options["max_open_files"]
        raise _wrong(
            "max_open_files", f"must be a whole number from 1 on, got {value!r}", "mend it"
        )
    area = options["area"]
    if area is not None and not isinstance(area, str):
        numbers = _is_list(area) and all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in area
        )
        if not numbers or len(area) != 4:
            raise _wrong(
                "area",
                f"{area!r} is neither a file nor (left, bottom, right, top)",
                "give a file of polygons, or four coordinates",
            )
    for key in _NOT_USED:
        if further.get(key):
            raise _wrong(key, "it is not used here", "name the files by images and labels")
    for step in pipeline:
        name = _name_of(step)
        if name.startswith("Load"):
            raise _wrong(
                "pipeline",
                f"it holds {name}, but the windows are loaded already",
                "take the loading steps out",
            )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_whole(value: Any, *, least: int | None = None) -> bool:
    if isinstance(value, str):  # keys of a JSON file
        return least is None and value.removeprefix("-").isdigit()
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and (least is None or value >= least)


def _name_of(step: Any) -> str:
    kind = step.get("type", "") if isinstance(step, Mapping) else type(step)
    return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def _wrong(key: str, what: str, fix: str) -> ConfigError:
    return ConfigError(what, where=f"RasterSegDataset.{key}", fix=fix)
