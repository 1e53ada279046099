"""What MMEngine's logger wrote in a work directory, over all its resumed runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Curves = dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]


def read_scalars(work_dir: str | Path) -> Curves:
    """Name -> (steps, values), by step, of all ``<run>/vis_data/scalars.json``.

    From its first line on, a run replaces what the ones before it wrote: they were killed some
    steps after they had saved what it resumed from, or it started anew. Lines that a killed
    process left half written are passed over. Prefixes of MMEngine (``train/``, ``val/``) are
    taken off.
    """
    curves: dict[str, dict[int, float]] = {}
    # folders are named by the time at which a run began
    for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        lines = _lines(path)
        first = min((step for step, _ in lines), default=None)
        if first is None:
            continue
        for name in curves:
            curves[name] = {s: v for s, v in curves[name].items() if s < first}
        for step, values in lines:
            for name, value in values.items():
                curves.setdefault(name, {})[step] = value
    return {
        name: (np.array(sorted(points)), np.array([points[step] for step in sorted(points)]))
        for name, points in curves.items()
        if points
    }


def _lines(path: Path) -> list[tuple[int, dict[str, float]]]:
    found = []
    for text in path.read_text("utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, Mapping) and isinstance(line.get("step"), int):
            values = {
                _bare(name): float(value)
                for name, value in line.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            }
            found.append((line["step"], values))
    return found


def _bare(name: str) -> str:
    for prefix in ("train/", "val/"):
        name = name.removeprefix(prefix)
    return name
