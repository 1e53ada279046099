"""Curves of a pre-training run as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmrs.engine.scalar_files import Curves
from mmrs.errors import OutputError
from mmrs.geo.atomic import atomic_path

# told apart by those who see no colours too, with the markers of what is measured rarely
_COLOURS = ("#0072b2", "#d55e00")


def draw_curves(curves: Curves, out: str | Path, *, title: str = "") -> bool:
    """Draw loss, learning rate, top-1 / top-5, spread and rank, k-NN and linear probe, as PNG.

    A panel without a finite value is left out.

    Args:
        curves: Name -> (steps, values), by MMEngine's and this package's names.
        out: The picture; it is replaced whole or not at all.
        title: Above the panels.

    Returns:
        Whether there was anything to draw.

    Raises:
        OutputError: It cannot be written.
    """
    curves = {name: points for name, points in curves.items() if np.isfinite(points[1]).any()}
    panels = [draw for names, draw in _PANELS if any(name in curves for name in names)]
    if not panels:
        return False
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.0 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.suptitle(title, fontsize=10)
    last = max(points[0][-1] for points in curves.values())
    for axis, draw in zip(axes, panels, strict=False):
        draw(axis, curves)
        axis.set_xlim(0, max(last, 1))
        axis.set_xlabel("steps", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    try:
        with atomic_path(out) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=out) from error
    return True


def _loss(axis: Any, curves: Curves) -> None:
    axis.plot(*curves["loss"], color=_COLOURS[0], linewidth=1.2)
    axis.set_title("InfoNCE loss", fontsize=9)


def _rate(axis: Any, curves: Curves) -> None:
    axis.plot(*curves["lr"], color=_COLOURS[0], linewidth=1.2)
    axis.set_title("learning rate", fontsize=9)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axis.yaxis.get_offset_text().set_fontsize(8)


def _discrimination(axis: Any, curves: Curves) -> None:
    for name, colour in zip(("top1", "top5"), _COLOURS, strict=True):
        if name in curves:
            axis.plot(*curves[name], color=colour, linewidth=1.2, label=f"top-{name[3:]}")
    axis.set_ylim(0, 100)
    axis.set_title("instance discrimination, %", fontsize=9)
    axis.legend(fontsize=8)


def _spread(axis: Any, curves: Curves) -> None:
    axis.plot(*curves["spread"], color=_COLOURS[0], linewidth=1.2)
    axis.set_ylim(0, max(1.1, 1.1 * np.nanmax(curves["spread"][1])))
    axis.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    axis.set_title("embedding spread (0: collapsed, 1: even)", fontsize=9)


def _rank(axis: Any, curves: Curves) -> None:
    axis.plot(*curves["effective_rank"], color=_COLOURS[0], linewidth=1.2)
    axis.set_ylim(bottom=0)
    axis.set_title("effective rank of the embeddings", fontsize=9)


def _accuracy(axis: Any, curves: Curves) -> None:
    names = ("knn", "linear_probe")
    labels = ("k-NN, leave one out", "linear probe, cross-validated")
    for name, label, colour, marker in zip(names, labels, _COLOURS, "os", strict=True):
        if name not in curves:
            continue
        steps, values = curves[name]
        axis.plot(steps, values, color=colour, marker=marker, ms=3, linewidth=1.2, label=label)
        low, high = curves.get(f"{name}_low"), curves.get(f"{name}_high")
        if low is not None and high is not None:
            axis.fill_between(low[0], low[1], high[1], color=colour, alpha=0.15, linewidth=0)
    axis.set_ylim(0, 100)
    axis.set_title("accuracy on labelled pictures, %", fontsize=9)
    axis.legend(fontsize=8, loc="lower right")


_PANELS: tuple[tuple[tuple[str, ...], Callable[[Any, Curves], None]], ...] = (
    (("loss",), _loss),
    (("lr",), _rate),
    (("top1", "top5"), _discrimination),
    (("spread",), _spread),
    (("effective_rank",), _rank),
    (("knn", "linear_probe"), _accuracy),
)
