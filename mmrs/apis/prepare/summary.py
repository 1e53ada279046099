"""What a preparation made, as a table for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prettytable import PrettyTable


def summarise(manifest: Mapping[str, Any], out: str | Path) -> str:
    """Parts, classes and what was left out, in lines."""
    lines = [str(_parts(manifest))]
    if manifest["classes"]:
        lines.append(str(_classes(manifest)))
    skipped = manifest["skipped"]
    lines.append(f"skipped: {len(skipped)}")
    if skipped:
        lines += [f"  {name}: {why}" for name, why in list(skipped.items())[:20]]
        if len(skipped) > 20:
            lines.append(f"  and {len(skipped) - 20} more, all in the manifest")
    unknown = _unknown(manifest)
    told = ", ".join(f"{colour} ({count} px)" for colour, count in unknown.most_common(6))
    lines.append(
        f"pixels of unknown colours: {manifest['unknown_pixels']}"
        + (f", ignored: {told}" if told else "")
    )
    nans = sum(image.get("undeclared_nan_pixels", 0) for image in manifest["images"])
    if nans:
        lines.append(f"{nans} pixels are not finite though no nodata is declared: ignored")
    lines.append(f"config: {manifest['config']}")
    lines.append(f"{Path(out) / 'manifest.json'} lists every tile, window and checksum")
    return "\n".join(lines)


def _parts(manifest: Mapping[str, Any]) -> PrettyTable:
    table = PrettyTable(["part", "images", "tiles"])
    table.align = "r"
    table.align["part"] = "l"
    for name, part in manifest["splits"].items():
        table.add_row([name, len(part["images"]), part["tiles"]])
    return table


def _classes(manifest: Mapping[str, Any]) -> PrettyTable:
    parts = manifest["splits"]
    table = PrettyTable(["id", "class", *(f"{name}, px" for name in parts), "share"])
    table.align = "r"
    table.align["class"] = "l"
    totals = {name: Counter(part["class_pixels"]) for name, part in parts.items()}
    names = dict(manifest["classes"])
    ignore = manifest["ignore"]
    if ignore is not None:
        names[str(ignore)] = "(ignored)"
    whole = sum(total.total() for total in totals.values())
    for label, name in sorted(names.items(), key=lambda item: int(item[0])):
        counts = [total.get(label, 0) for total in totals.values()]
        share = f"{sum(counts) / whole:.2%}" if whole else "-"
        shown = name if sum(counts) or name == "(ignored)" else f"{name} (absent)"
        table.add_row([label, shown, *counts, share])
    return table


def _unknown(manifest: Mapping[str, Any]) -> Counter[str]:
    total: Counter[str] = Counter()
    for image in manifest["images"]:
        total.update(image.get("unknown_colours", {}))
    return total
