"""The window sampler that a config asks for: its options checked, and the sampler made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmrs.datasets.window_samplers import BalancedWindows, GridWindows, RandomWindows, Size
from mmrs.errors import ConfigError
from mmrs.geo.frequency_index import FrequencyIndex

OPTIONS = {
    "grid": ("size", "stride", "count_once"),
    "random": ("size", "length", "seed"),
    "balanced": ("size", "length", "seed"),
}


def check_sampler(options: dict[str, Any], where: str) -> dict[str, Any]:
    """Options of a sampler with sizes as pairs.

    Raises:
        ConfigError: An unknown type or option, no size, or a number out of range.
    """
    options = dict(options)
    kind = options.get("type")
    if kind not in OPTIONS:
        raise ConfigError(
            f"type {kind!r} is unknown", where=where, fix=f"choose from {', '.join(OPTIONS)}"
        )
    for key in options:
        if key not in ("type", *OPTIONS[kind]):
            raise ConfigError(
                f"the {kind} sampler takes no {key!r}",
                where=f"{where}.{key}",
                fix=f"it takes {', '.join(OPTIONS[kind])}",
            )
    if "size" not in options:
        raise ConfigError("no size", where=f"{where}.size", fix="give the side of a window, in px")
    for key, least, fix in (
        ("size", 1, "give pixels, such as 512 or (512, 512)"),
        ("stride", 1, "give pixels, such as 512 or (512, 512)"),
        ("length", 1, "give the windows of an epoch"),
        ("seed", 0, "give one, or None for new windows in every epoch"),
    ):
        if options.get(key) is None:
            options.pop(key, None)
            continue
        value, sided = options[key], key in ("size", "stride")
        pair = list(value) if sided and isinstance(value, list | tuple) else [value, value]
        if len(pair) != 2 or any(
            isinstance(v, bool) or not isinstance(v, int) or v < least for v in pair
        ):
            raise ConfigError(
                f"{key} must be a whole number from {least} on, got {value!r}",
                where=f"{where}.{key}",
                fix=fix,
            )
        if sided:
            options[key] = (pair[0], pair[1])
    stride = options.get("stride", options["size"])
    if stride[0] > options["size"][0] or stride[1] > options["size"][1]:
        raise ConfigError(
            f"stride {stride} is more than size {options['size']}: pixels between the windows "
            "would be left out",
            where=f"{where}.stride",
            fix="choose stride <= size",
        )
    return options


def make_windows(
    options: Mapping[str, Any],
    shapes: Sequence[Size],
    areas: Sequence[Any] | None,
    frequency_index: Callable[[], FrequencyIndex],
) -> GridWindows | RandomWindows | BalancedWindows:
    """The windows of some rasters.

    Args:
        options: As `check_sampler` returns them.
        shapes: Height and width of each raster.
        areas: What counts of each raster, in pixels; None for all of it.
        frequency_index: Makes the index that a balanced sampler needs.
    """
    options = dict(options)
    kind, size = options.pop("type"), options.pop("size")
    if kind == "grid":
        return GridWindows(shapes, size, areas=areas, **options)
    if kind == "random":
        return RandomWindows(shapes, size, areas=areas, **options)
    return BalancedWindows(shapes, size, frequency_index(), **options)
