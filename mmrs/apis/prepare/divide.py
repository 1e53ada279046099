"""Which source images train and which validate."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.options import Options
from mmrs.apis.prepare.pairs import Pair


def divide(pairs: Sequence[Pair], options: Options) -> dict[str, str]:
    """Part of each pair, by its stem.

    Folders named train, val or test decide where there are any. Otherwise source images (or
    groups of them) are ordered by the SHA-256 of ``"{seed}/{name}"``, and the first
    ``split_ratio`` of them validate; never a tile of an image whose other tiles train.

    Raises:
        UsageError: The expression of ``group`` is none, or does not fit a name; or an option has
            no effect, because folders decide.
    """
    if any(pair.part for pair in pairs) and options.split_ratio is None:
        for option in ("group", "split_seed"):
            if getattr(options, option) is not None:
                raise UsageError(
                    f"--{option.replace('_', '-')} has no effect where folders named train, val "
                    "or test decide",
                    fix="give --split-ratio too, to divide the images anew",
                )
        return {pair.stem: pair.part or "train" for pair in pairs}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        groups[_group(pair.stem, options.group)].append(pair.stem)
    seed = options.split_seed or 0

    def lot(name: str) -> tuple[str, str]:
        return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest(), name

    ratio = 0.2 if options.split_ratio is None else options.split_ratio
    count = round(ratio * len(groups))
    if 0 < ratio < 1 and len(groups) > 1:
        count = min(max(count, 1), len(groups) - 1)
    validating = set(sorted(groups, key=lot)[:count])
    return {
        stem: "val" if group in validating else "train"
        for group, stems in groups.items()
        for stem in stems
    }


def _group(stem: str, expression: str | None) -> str:
    if expression is None:
        return stem
    try:
        match = re.search(expression, stem)
    except re.error as error:
        raise UsageError(f"--group {expression!r} is no regular expression ({error})") from error
    if match is None:
        raise UsageError(
            f"--group {expression!r} does not fit {stem}", fix=r"such as '^(\d+)_' for 7_0_7"
        )
    return match.group(1 if match.re.groups else 0) or ""
