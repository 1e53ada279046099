"""Statistics of a data set as people read them: tables, and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from prettytable import PrettyTable

from mmrs.errors import OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.band_stats import BandStats
from mmrs.geo.class_weights import METHODS


@dataclass(frozen=True)
class ClassStats:
    """Pixels of the classes of a data set.

    Attributes:
        names: Of the classes.
        pixels: Of each.
        ignored: Pixels that have none, gaps of the images included where they are windows.
        weights: Method -> weight of each class, mean 1 over those that occur.
        palette: RGB of each.
    """

    names: tuple[str, ...]
    pixels: tuple[int, ...]
    ignored: int
    weights: dict[str, tuple[float, ...]]
    palette: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class DatasetStats:
    """Bands and classes of one data set.

    Attributes:
        title: Where it comes from.
        bands: Of the images.
        classes: Of the labels; None where there are none.
    """

    title: str
    bands: BandStats
    classes: ClassStats | None = None

    def text(self) -> str:
        """Both tables, as they are printed."""
        parts = [self.title, _bands_text(self.bands)]
        if self.classes is not None:
            parts.append(_classes_text(self.classes))
        return "\n".join(parts)


def write_picture(stats: DatasetStats, out: str | Path) -> None:
    """Draw the ranges of the bands and the shares of the classes, as PNG.

    Raises:
        OutputError: It cannot be written.
    """
    rows = len(stats.bands.bands) + (len(stats.classes.names) if stats.classes else 0)
    panels = 2 if stats.classes else 1
    figure = Figure(figsize=(6.4 * panels, max(2.6, 0.34 * rows + 1.2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.suptitle(stats.title, fontsize=11)
    _draw_bands(axes[0], stats.bands)
    if stats.classes is not None:
        _draw_classes(axes[1], stats.classes)
    try:
        with atomic_path(out) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=out) from error


def _bands_text(stats: BandStats) -> str:
    table = PrettyTable(["band", "name", "min", "2 %", "mean", "98 %", "max", "std"])
    table.align = "r"
    table.align["name"] = "l"
    low, high = stats.percentile(2), stats.percentile(98)
    for place, band in enumerate(stats.bands):
        name = stats.names[place][:32]
        columns = (stats.minimum, low, stats.mean, high, stats.maximum, stats.std)
        table.add_row([band, name, *(f"{column[place]:.6g}" for column in columns)])
    share = 100 * stats.valid / stats.pixels
    lines = [
        f"bands, {stats.dtype}, over the {stats.valid} of {stats.pixels} pixels that hold data "
        f"({share:.2f} %):",
        table.get_string(),
    ]
    if stats.undeclared:
        lines.append(
            f"{stats.undeclared} pixels are not finite though no nodata value declares them; "
            "RasterSegDataset ignores them. gdal_translate -a_nodata nan declares them"
        )
    return "\n".join(lines)


def _classes_text(stats: ClassStats) -> str:
    table = PrettyTable(["id", "class", "pixels", "share", *(f"weight: {m}" for m in METHODS)])
    table.align = "r"
    table.align["class"] = "l"
    total = max(1, sum(stats.pixels))
    for index, name in enumerate(stats.names):
        weights = [f"{stats.weights[method][index]:.4g}" for method in METHODS]
        share = f"{100 * stats.pixels[index] / total:.2f} %"
        table.add_row([index, name, stats.pixels[index], share, *weights])
    return f"classes ({stats.ignored} pixels are ignored):\n{table.get_string()}"


def _draw_bands(axes: Any, stats: BandStats) -> None:
    low, high = stats.percentile(2), stats.percentile(98)
    places = np.arange(len(stats.bands))
    axes.hlines(places, stats.minimum, stats.maximum, color="0.75", label="min to max")
    axes.barh(places, np.subtract(high, low), left=low, height=0.5, label="2 % to 98 %")
    axes.plot(stats.mean, places, "k|", markersize=11, label="mean")
    labels = [
        f"{band} {name[:16]}".strip() for band, name in zip(stats.bands, stats.names, strict=True)
    ]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_title(f"bands, {stats.dtype}", fontsize=10)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncol=3, frameon=False)


def _draw_classes(axes: Any, stats: ClassStats) -> None:
    total = max(1, sum(stats.pixels))
    shares = [100 * count / total for count in stats.pixels]
    places = np.arange(len(shares))
    colours = [tuple(value / 255 for value in colour) for colour in stats.palette[: len(shares)]]
    axes.barh(places, shares, color=colours, edgecolor="0.4", linewidth=0.5)
    axes.set_yticks(places, stats.names)
    axes.invert_yaxis()
    for place, share in zip(places, shares, strict=True):
        axes.annotate(f" {share:.2f} %", (share, place), va="center", fontsize=8)
    axes.set_xlim(0, 1.18 * max(shares))
    axes.set_title("classes, % of the labelled pixels", fontsize=10)
