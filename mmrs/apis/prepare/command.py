"""The command line of ``tools/prepare_dataset.py``, read and carried out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.download import download
from mmrs.apis.prepare.options import Options, RunOptions
from mmrs.apis.prepare.registry import CONVERTERS, find_converter
from mmrs.apis.prepare.runner import prepare
from mmrs.apis.prepare.summary import summarise
from mmrs.geo.archive_checks import ArchiveLimits
from mmrs.geo.palette_codec import Rgb

Palette = tuple[tuple[str, tuple[Rgb, ...]], ...]


def prepare_command(args: Mapping[str, Any]) -> int:
    """Do what the command line asks.

    Args:
        args: Its options by name.

    Raises:
        UsageError: They mean nothing together.
        MmrsError: As `prepare`.
    """
    if args["name"] == "list":
        print("\n\n".join(converter.describe() for converter in CONVERTERS.values()))
        return 0
    converter = find_converter(args["name"])
    if args["source"] is None or (args["out"] is None and not args["download"]):
        raise UsageError("SOURCE and OUT are needed", fix=converter.expects())
    if args["download"]:
        if not converter.downloads:
            raise UsageError(
                f"{converter.name} is not given out to scripts", fix=f"get it {converter.where}"
            )
        download(converter.downloads, args["source"])
        if args["out"] is None:
            return 0
    print(converter.describe())
    manifest = prepare(
        converter.name, args["source"], args["out"], _options(args), _run_options(args)
    )
    print(summarise(manifest, args["out"]))
    return 0


def parse_palette(words: Sequence[str]) -> Palette:
    """``road=0,0,0`` ... -> (name, colours); a name that comes twice has two colours.

    Raises:
        UsageError: A word is of another form.
    """
    found: dict[str, list[Rgb]] = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        numbers = text.split(",")
        if not (name and equals and len(numbers) == 3 and all(_is_byte(n) for n in numbers)):
            raise UsageError(f"--palette {word!r} is not NAME=R,G,B", fix="such as road=128,64,0")
        red, green, blue = (int(number) for number in numbers)
        found.setdefault(name, []).append((red, green, blue))
    return tuple((name, tuple(colours)) for name, colours in found.items())


def parse_label_map(words: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """``255:1`` ... -> pairs; a word may hold several, with commas between them.

    Raises:
        UsageError: A word is of another form, or a value is mapped twice.
    """
    found: dict[int, int] = {}
    for word in (one for several in words for one in several.split(",")):
        raw, colon, label = word.partition(":")
        if not (colon and raw.removeprefix("-").isdigit() and _is_byte(label)):
            raise UsageError(f"--label-map {word!r} is not RAW:ID", fix="such as 255:1")
        if int(raw) in found:
            raise UsageError(f"--label-map maps {raw} twice")
        found[int(raw)] = int(label)
    return tuple(found.items())


def _options(args: Mapping[str, Any]) -> Options:
    given = {field.name: args.get(field.name) for field in fields(Options)}
    for name in ("classes", "bands"):
        given[name] = None if given[name] is None else tuple(given[name])
    if given["palette"] is not None:
        given["palette"] = parse_palette(given["palette"])
    if given["label_map"] is not None:
        given["label_map"] = parse_label_map(given["label_map"])
    if given["polygons"] is not None:
        given["polygons"] = Path(given["polygons"])
    return Options(**given)


def _run_options(args: Mapping[str, Any]) -> RunOptions:
    usual = ArchiveLimits()
    for name in ("max_size", "max_ratio", "max_files"):
        value = args[name]
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UsageError(f"--{name.replace('_', '-')} must be > 0, got {value}")
    limits = ArchiveLimits(
        max_bytes=usual.max_bytes if args["max_size"] is None else int(args["max_size"] * 2**30),
        max_ratio=usual.max_ratio if args["max_ratio"] is None else args["max_ratio"],
        max_files=usual.max_files if args["max_files"] is None else args["max_files"],
    )
    return RunOptions(workers=args["workers"], overwrite=args["overwrite"], limits=limits)


def _is_byte(text: str) -> bool:
    return text.strip().isdigit() and int(text) <= 255
