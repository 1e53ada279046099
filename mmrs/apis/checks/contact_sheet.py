"""A page of pairs to look at: image, label and overlay in a row, and what the colours mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mmrs.apis.checks.exif import exif_turn, turned
from mmrs.apis.checks.set_check import SetCheck
from mmrs.apis.overlay import EMPTY, FAINT, INK, PAPER, draw_legend, legend_lines, mix, to_rgb
from mmrs.apis.overlay import font as font_of
from mmrs.errors import MmrsError, OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.palette import NODATA_LABEL, Colour, default_palette, paint
from mmrs.geo.raster import Raster
from mmrs.geo.windows import Window

ROWS = 8
PANEL_PX = 220
MARGIN = 28
GAP = 8
COLUMN_GAP = 36
CAPTION_HEIGHT = 26
ALARM = (196, 30, 30)
NO_CLASS = (255, 0, 255)  # ids that are no class, in a colour that no palette should have
Pixels = NDArray[np.uint8]


@dataclass
class _Row:
    """One pair, ready to be drawn."""

    caption: str
    panels: list[Pixels]
    alarm: bool


def write_contact_sheet(
    out: str | Path,
    checks: Sequence[SetCheck],
    *,
    title: str,
    subtitle: str = "",
    rows: int = ROWS,
) -> None:
    """Draw some pairs of data sets that have been read, as PNG.

    Pairs with an error come first (a red caption), then those that show the rarest classes best.

    Args:
        out: The picture.
        checks: The data sets, their pairs read.
        title: First line.
        subtitle: Second line.
        rows: Number of pairs.

    Raises:
        OutputError: It cannot be written; what ``out`` held is then untouched.
    """
    drawn = []
    for check, info, alarm in _choose(checks, rows):
        try:
            drawn.append(_draw_pair(check, info, alarm))
        except MmrsError:
            continue  # an unreadable file is told in the text
    page = _compose(title, subtitle, drawn, _legend(checks))
    try:
        with atomic_path(out) as temporary:
            # few colours are enough for a page of thumbnails, and a third of the bytes
            small = page.quantize(256, dither=Image.Dither.NONE)
            small.save(temporary, format="PNG", optimize=True)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=out) from error


def _choose(checks: Sequence[SetCheck], rows: int) -> list[tuple[SetCheck, dict, bool]]:
    """Pairs to draw: a few with errors, then, class by class, the fullest of the rarest."""
    seen = [(check, pair) for check in checks for pair in check.seen]
    wrong = [(check, pair) for check, pair in seen if pair.has_error][: rows // 2]
    chosen = list(wrong)
    total: Counter = Counter()
    for _, pair in seen:
        total.update(pair.classes)
    rest = [item for item in seen if not item[1].has_error]
    shown: Counter = Counter()
    while rest and len(chosen) < rows:
        rarest = min(total, key=lambda train: (shown[train], total[train]), default=None)
        best = max(rest, key=lambda item: (item[1].share(rarest), -seen.index(item)))
        rest.remove(best)
        chosen.append(best)
        # a class counts as shown where it covers enough to be seen
        shown.update({t: 1 for t in best[1].classes if best[1].share(t) > 0.02})
        shown[rarest] += 1
    return [(check, pair.info, pair.has_error) for check, pair in chosen]


def _draw_pair(check: SetCheck, info: dict, alarm: bool) -> _Row:
    window = Window(*info["window"]) if "window" in info else None
    picture = _thumbnail(info["img_path"], window)
    if check.checker.reads_by_opencv:
        picture = turned(picture, exif_turn(info["img_path"]))
    split = check.key.partition("_dataloader")[0]
    caption = f"{split}  ·  {Path(info['img_path']).name}"
    if window is not None:
        caption += f"  ·  row {window.row}, col {window.col}"
    panels = [picture]
    if check.table is not None and isinstance(info.get("seg_map_path"), str):
        labels = check.checker.reader.read(info).labels
        if labels is not None:
            panels += _label_panels(check, picture, labels)
    return _Row(caption, panels, alarm)


def _label_panels(check: SetCheck, picture: Pixels, labels: NDArray[Any]) -> list[Pixels]:
    height, width = picture.shape[:2]
    row = (np.arange(height) + 0.5) * labels.shape[0] / height
    col = (np.arange(width) + 0.5) * labels.shape[1] / width
    small = labels[row.astype(int)[:, None], col.astype(int)[None, :]].astype(np.int64)
    ignored = small == check.checker.reader.ignore_index
    strange = ~ignored & ((small < 0) | (small >= check.checker.reader.num_classes))
    ids = np.where(ignored | strange, NODATA_LABEL, small).astype(np.uint8)
    colours = paint(ids, _palette(check))
    colours[ignored] = EMPTY
    colours[strange] = NO_CLASS
    # the picture shows through where the label is ignored, only greyed
    mixed = mix(picture, colours, np.where(ids == NODATA_LABEL, np.uint8(254), ids), 0.45)
    mixed[ignored] = (0.5 * picture + 0.5 * np.array(EMPTY))[ignored].astype(np.uint8)
    return [colours, mixed]


def _thumbnail(path: str, window: Window | None) -> Pixels:
    try:
        with Raster(path) as raster:
            if window is None:
                picture = to_rgb(raster.read_preview(PANEL_PX))
            else:
                picture = _shrunk(to_rgb(raster.read(window)))
    except MmrsError:
        try:
            with Image.open(path) as opened:
                opened.thumbnail((PANEL_PX, PANEL_PX))
                picture = np.asarray(opened.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise OutputError("cannot be drawn", where=path) from error
    return _shrunk(picture)


def _shrunk(picture: Pixels) -> Pixels:
    """As large as a panel; tiny tiles show their pixels as squares."""
    scale = PANEL_PX / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(picture).resize(size, how)) if scale != 1 else picture


def _palette(check: SetCheck) -> list[Colour]:
    palette = [tuple(color) for color in check.checker.reader.palette]
    count = check.checker.reader.num_classes
    return palette if len(palette) >= count else default_palette(count)


def _legend(checks: Sequence[SetCheck]) -> list[tuple[str, Colour]]:
    """Classes with their share of all labelled pixels read; what has none says so."""
    check = next((c for c in checks if c.table is not None), None)
    if check is None:
        return []
    counts: Counter = Counter()
    for other in checks:
        if other.table is not None and other.table.classes == check.table.classes:
            for (_, train), pixels in other.table.counts.items():
                counts[train] += pixels
    total = max(1, sum(counts.values()))
    legend = []
    for index, (name, colour) in enumerate(zip(check.table.classes, _palette(check), strict=False)):
        share = counts[index] / total
        told = "no pixel" if not counts[index] else "<1 %" if share < 0.01 else f"{share:.0%}"
        legend.append((f"{name}  {told}", colour))
    ignored = counts[check.checker.reader.ignore_index] / total
    if ignored:
        legend.append((f"ignored  {ignored:.0%}" if ignored >= 0.01 else "ignored  <1 %", EMPTY))
    if any(train >= len(check.table.classes) for train in counts if train not in (255,)):
        legend.append(("no class", NO_CLASS))
    return legend


def _compose(
    title: str, subtitle: str, rows: Sequence[_Row], legend: Sequence[tuple[str, Colour]]
) -> Image.Image:
    columns = 1 if len(rows) <= 4 else 2
    block = 3 * PANEL_PX + 2 * GAP
    width = 2 * MARGIN + columns * block + (columns - 1) * COLUMN_GAP
    per_column = -(-len(rows) // columns) if rows else 0
    lines = legend_lines(legend, width - 2 * MARGIN)
    top = MARGIN + 66
    heights = [
        CAPTION_HEIGHT
        + max((p.shape[0] for row in rows[i::per_column] for p in row.panels), default=0)
        + 14
        for i in range(per_column)
    ]
    page_height = top + 26 + sum(heights) + 12 + 34 * len(lines) + MARGIN
    page = Image.new("RGB", (width, page_height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), title, fill=INK, font=font_of(24, bold=True))
    draw.text((MARGIN, MARGIN + 28), subtitle, fill=FAINT, font=font_of(15))
    for column in range(columns):
        left = MARGIN + column * (block + COLUMN_GAP)
        for index, name in enumerate(("image", "label", "overlay")):
            place = (left + index * (PANEL_PX + GAP), top)
            draw.text(place, name, fill=FAINT, font=font_of(15))
        bottom = top + 26
        for row, height in zip(
            rows[column * per_column : (column + 1) * per_column], heights, strict=False
        ):
            _draw_row(page, draw, row, left, bottom)
            bottom += height
    draw_legend(draw, lines, MARGIN, top + 26 + sum(heights) + 12)
    return page


def _draw_row(page: Image.Image, draw: ImageDraw.ImageDraw, row: _Row, left: int, top: int) -> None:
    ink = ALARM if row.alarm else INK
    caption = f"{row.caption}  ·  has errors" if row.alarm else row.caption
    font = font_of(14, bold=row.alarm)
    limit = 3 * PANEL_PX + 2 * GAP
    while font.getlength(caption) > limit and len(caption) > 8:
        caption = caption[: len(caption) // 2 - 2] + "…" + caption[len(caption) // 2 + 2 :]
    draw.text((left, top), caption, fill=ink, font=font)
    for index, pixels in enumerate(row.panels):
        x, y = left + index * (PANEL_PX + GAP), top + CAPTION_HEIGHT - 4
        page.paste(Image.fromarray(pixels), (x, y))
        box = (x - 1, y - 1, x + pixels.shape[1], y + pixels.shape[0])
        draw.rectangle(box, outline=ALARM if row.alarm else FAINT)
