"""The scaling of a raster data set: from numbers, from a file, or from the training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmrs.datasets.raster_files import find_files
from mmrs.errors import ConfigError, DataError
from mmrs.geo.band_stats import (
    PERCENTILES,
    BandStats,
    compute_band_stats,
    read_band_stats,
    write_band_stats,
)
from mmrs.geo.frequency_index import fingerprint
from mmrs.geo.scaling import KINDS, BandScaling, from_range, scaling_of

_OPTIONS = {
    "minmax": ("min", "max"),
    "percentile": ("low", "high"),
    "meanstd": ("mean", "std"),
}


def default_cache_dir() -> Path:
    """Where what was computed is kept: never beside the user's data."""
    return Path("~/.cache/mmrs/rasters").expanduser()


def make_scaling(
    options: Mapping[str, Any],
    *,
    bands: Sequence[int],
    dtype: str,
    data_root: str | None,
    cache_dir: Path,
    where: str,
) -> BandScaling:
    """Make the scaling that a config asks for.

    Args:
        options: ``type``, and one of: the numbers themselves (``min`` and ``max``, or ``mean``
            and ``std``), ``stats`` (a file of tools/dataset_stats.py), or ``images`` (the
            training images, to compute them from).
        bands: That are read, counted from 1.
        dtype: Of the images.
        data_root: What relative paths are relative to.
        cache_dir: Where computed statistics are kept.
        where: The config key.

    Raises:
        ConfigError: Options are unknown, too many or too few.
        DataError: The statistics are of other bands or another type.
    """
    kind = options.get("type")
    if kind not in KINDS:
        raise ConfigError(
            f"type {kind!r} is unknown", where=where, fix=f"choose from {', '.join(KINDS)}"
        )
    for key in options:
        if key not in ("type", "stats", "images", *_OPTIONS[kind]):
            raise ConfigError(
                f"{kind} scaling takes no {key!r}",
                where=f"{where}.{key}",
                fix=f"it takes stats or images, and {', '.join(_OPTIONS[kind])}",
            )
    percents = _percents(kind, options, where)
    given = _given_numbers(kind, options, len(bands), where)
    sources = [key for key in ("stats", "images") if options.get(key) is not None]
    if len(sources) + (given is not None) != 1:
        raise ConfigError(
            "nothing says where its numbers come from"
            if not sources
            else f"{' and '.join(sources)} say twice where its numbers come from",
            where=where,
            fix="give images (the training images, for validation too), stats (a file of "
            "tools/dataset_stats.py), or the numbers themselves",
        )
    if given is not None:
        return given
    if sources == ["stats"]:
        stats = read_band_stats(Path(data_root or "", options["stats"]))
        _check_fit(stats, bands, dtype, options["stats"])
    else:
        stats = _cached_stats(
            options["images"],
            bands,
            sorted(set(percents.values()) - set(PERCENTILES)),
            data_root,
            cache_dir,
            f"{where}.images",
        )
        _check_fit(stats, bands, dtype, f"{where}.images")
    try:
        return scaling_of(kind, stats, **percents)
    except ValueError as error:
        raise ConfigError(
            str(error), where=where, fix="choose others, or give images instead of stats"
        ) from error


def given_scaling(options: Mapping[str, Any], *, bands: int, where: str) -> BandScaling | None:
    """The scaling whose numbers a config holds itself; None where it holds none.

    Args:
        options: As of `make_scaling`.
        bands: How many are read.
        where: The config key.

    Raises:
        ConfigError: The numbers are not as many, or no range.
    """
    kind = options.get("type")
    return _given_numbers(kind, options, bands, where) if kind in KINDS else None


def _percents(kind: str, options: Mapping[str, Any], where: str) -> dict[str, float]:
    if kind != "percentile":
        return {}
    given = {key: options[key] for key in ("low", "high") if key in options}
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
            raise ConfigError(
                f"must be a number from 0 to 100, got {value!r}",
                where=f"{where}.{key}",
                fix="give a percentage",
            )
    return {key: float(value) for key, value in given.items()}


def _given_numbers(
    kind: str, options: Mapping[str, Any], bands: int, where: str
) -> BandScaling | None:
    if kind == "percentile" or not any(key in options for key in _OPTIONS[kind]):
        return None
    numbers = []
    for key in _OPTIONS[kind]:
        value = options.get(key)
        listed = list(value) if isinstance(value, list | tuple) else [value] * bands
        if len(listed) != bands or any(not isinstance(v, int | float) for v in listed):
            raise ConfigError(
                f"{bands} bands need as many numbers, got {value!r}",
                where=f"{where}.{key}",
                fix=f"give {key} of each band that is read, in the order of bands",
            )
        numbers.append([float(v) for v in listed])
    low, high = numbers
    if kind == "minmax":
        if any(b <= a for a, b in zip(low, high, strict=True)):
            raise ConfigError("max must be > min", where=f"{where}.max", fix="mend the numbers")
        return from_range("minmax", low, high)
    if any(v <= 0 for v in high):
        raise ConfigError("std must be > 0", where=f"{where}.std", fix="mend the numbers")
    return BandScaling("meanstd", tuple(low), tuple(high), clip=False)


def _cached_stats(
    images: Any,
    bands: Sequence[int],
    percents: Sequence[float],
    data_root: str | None,
    cache_dir: Path,
    where: str,
) -> BandStats:
    paths = find_files(images, data_root, where)
    name = fingerprint(paths, ["band_stats", list(bands), list(percents), 2])
    kept = cache_dir / f"band_stats-{name}.json"
    if kept.is_file():
        try:
            return read_band_stats(kept)
        except DataError:
            pass  # damaged: made anew
    print_log(f"band statistics of {len(paths)} images are computed, once: {kept}", "current")
    stats = compute_band_stats(paths, bands=bands, percentiles=percents)
    write_band_stats(stats, kept)
    return stats


def _check_fit(stats: BandStats, bands: Sequence[int], dtype: str, where: str) -> None:
    if tuple(stats.bands) != tuple(bands) or stats.dtype != dtype:
        raise DataError(
            f"statistics of bands {list(stats.bands)} of {stats.dtype}, but bands {list(bands)} "
            f"of {dtype} are read",
            where=where,
            fix="make them again: tools/dataset_stats.py IMAGES --bands ... --out FILE",
        )
