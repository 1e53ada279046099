"""Whether the options of a raster data set's labels mean something, alone and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmrs.errors import ConfigError
from mmrs.geo.polygon_file import SUFFIXES as VECTOR_SUFFIXES

MAX_CLASSES = 255  # labels are bytes, and one of their values is not a class
# options of rasters, and of polygons, with what they are where they are not set
_OF_RASTERS = {"reduce_zero_label": False, "label_map": None, "label_colors": None}
_OF_POLYGONS = {
    "attribute": None,
    "class_of": None,
    "background": None,
    "layer": None,
    "all_touched": False,
}


def check_label_options(options: Mapping[str, Any], *, num_classes: int) -> None:
    """Raise where options of labels are out of range, or exclude each other.

    Args:
        options: Of `mmrs.RasterSegDataset`, by their names.
        num_classes: Number of classes.

    Raises:
        ConfigError: With the option.
    """
    if num_classes > MAX_CLASSES:
        raise _wrong("metainfo", f"{num_classes} classes, but labels are bytes", "name up to 255")
    _check_byte("ignore_index", options["ignore_index"])
    if options["background"] is not None:
        _check_byte("background", options["background"])
    for value in (options["class_of"] or {}).values():
        _check_byte("class_of", value)
    if options["class_of"] is not None and options["attribute"] is None:
        raise _wrong("attribute", "class_of maps values of an attribute, none is named", "name it")
    if options["label_ignore_colors"] and not options["label_colors"]:
        raise _wrong(
            "label_colors", "label_ignore_colors is set without them", "give a colour a class"
        )
    colors = options["label_colors"]
    if colors and len(colors) != num_classes:
        raise _wrong("label_colors", f"{len(colors)} for {num_classes} classes", "give one a class")
    named = [key for key, unset in _OF_RASTERS.items() if (options[key] or unset) != unset]
    if len(named) > 1:
        raise _wrong(
            named[0],
            f"{' and '.join(named)} would both change the ids",
            "leave one out: label_map can say all, {0: 255, 1: 0, ...}, and colours become ids "
            "by their order",
        )


def check_options_fit(options: Mapping[str, Any], labels: Sequence[Path]) -> None:
    """Raise where an option is set that none of the labels goes by.

    Args:
        options: As in `check_label_options`.
        labels: The files.

    Raises:
        ConfigError: With the option.
    """
    polygons = [is_vector(path) for path in labels]
    if any(polygons):
        for key, unset in _OF_RASTERS.items():
            if (options[key] or unset) != unset and all(polygons):
                raise _wrong(
                    key,
                    f"{labels[0].name} holds polygons, which it does not apply to",
                    "leave it out; class_of maps the values of the attribute",
                )
        return
    for key, unset in _OF_POLYGONS.items():
        if options[key] != unset:
            raise _wrong(
                key,
                f"it is for polygons, but {labels[0].name} is a raster",
                "leave it out; label_map maps ids, and a raster's nodata is not labelled",
            )


def is_vector(path: Path) -> bool:
    """Whether labels are polygons, by the suffix."""
    return path.suffix.lower() in VECTOR_SUFFIXES


def _check_byte(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise _wrong(key, f"must be a whole number from 0 to 255, got {value!r}", "mend it")


def _wrong(key: str, what: str, fix: str) -> ConfigError:
    return ConfigError(what, where=f"RasterSegDataset.{key}", fix=fix)
