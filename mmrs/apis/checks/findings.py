"""What a look at a data set found: each one line, grouped by kind, errors before warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mmrs.errors import MmrsError

Level = Literal["error", "warning", "note"]

# In the order in which they are told: what hides the others comes first.
KINDS = {
    "data set": "data sets that cannot be opened",
    "unreadable": "files that cannot be read",
    "no label": "images without a label, listed files that are not there",
    "orphan": "labels without an image, images that are not read",
    "size": "label and image differ in size",
    "bands": "bands or types that the config does not fit",
    "turned": "pictures that are turned when they are read",
    "grid": "CRS or grid of label and image differ",
    "crs": "CRS missing",
    "nodata": "pixels without data that count as data",
    "colours": "labels that are colour pictures",
    "encoding": "labels that are no class ids",
    "range": "label ids that are no class",
    "zero label": "reduce_zero_label and label maps",
    "pipeline": "steps of the pipeline that fail",
    "duplicate": "the same image in two splits",
    "absent": "classes without a pixel",
    "unread": "files that were not looked at",
}
_LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: A key of ``KINDS``.
        level: An ``error`` stops training or spoils it; a ``warning`` may be meant so; a
            ``note`` is told only.
        error: File, cause and mend; what training raises for it.
    """

    kind: str
    level: Level
    error: MmrsError

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.level not in _LEVELS:
            raise ValueError(f"no such kind or level: {self.kind!r}, {self.level!r}")

    @property
    def line(self) -> str:
        """``error: file: cause. Fix: mend``."""
        return f"{self.level}: {self.error}"


def raise_first(findings: Iterable[Finding]) -> None:
    """Raise the first finding that is an error; the iterable is read up to there."""
    for finding in findings:
        if finding.level == "error":
            raise finding.error


def findings_text(findings: Sequence[Finding], *, per_kind: int | None = 10) -> str:
    """Findings grouped by level and kind, each group under its count.

    Args:
        findings: In the order in which a group shows them.
        per_kind: How many lines of a group to show; None shows all.
    """
    lines = []
    for level in _LEVELS:
        for kind, title in KINDS.items():
            group = [f for f in findings if f.kind == kind and f.level == level]
            if not group:
                continue
            lines.append(f"{len(group)} {level}{'' if len(group) == 1 else 's'}: {title}")
            shown = group if per_kind is None else group[:per_kind]
            lines += [f"  {finding.line}" for finding in shown]
            if len(shown) < len(group):
                lines.append(f"  ... and {len(group) - len(shown)} more (--all shows them)")
    return "\n".join(lines)
