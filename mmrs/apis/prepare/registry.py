"""The data sets that can be prepared."""

from __future__ import annotations

import difflib

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare import (
    generic,
    loveda,
    mapillary,
    million_aid,
    paddy,
    potsdam,
    vaihingen,
    whdld,
    whu_building,
)
from mmrs.apis.prepare.converter import Converter

CONVERTERS: dict[str, Converter] = {
    module.CONVERTER.name: module.CONVERTER
    for module in (
        *(loveda, potsdam, vaihingen, whdld, whu_building),
        *(mapillary, million_aid, paddy, generic),
    )
}


def find_converter(name: str) -> Converter:
    """The converter of a data set.

    Raises:
        UsageError: There is none of that name.
    """
    if name in CONVERTERS:
        return CONVERTERS[name]
    near = difflib.get_close_matches(name.lower(), CONVERTERS, n=1, cutoff=0.5)
    fix = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"no data set {name!r}", fix=f"{fix}there are {', '.join(CONVERTERS)}")
