"""A picture for people who look first: scene, class map, both, and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from mmrs.errors import OutputError
from mmrs.geo.atomic import atomic_path
from mmrs.geo.palette import NODATA_LABEL, Colour, paint
from mmrs.geo.raster import Raster
from mmrs.version import __version__

PANEL_PX = 760
MARGIN = 24
GAP = 16
TITLE_HEIGHT = 62
CAPTION_HEIGHT = 30
LEGEND_ROW = 34
INK = (30, 34, 40)
FAINT = (105, 112, 122)
PAPER = (255, 255, 255)
EMPTY = (232, 234, 237)  # what pixels without data look like

Pixels = NDArray[np.uint8]


def write_overlay(
    image: str | Path | Raster,
    class_map: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str],
    palette: Sequence[Colour],
    opacity: float = 0.5,
) -> None:
    """Write image, class map and overlay side by side with a legend, as PNG.

    Large scenes are shrunk while they are read; the memory does not grow with them.

    Args:
        image: The scene: a file, or an array or dataset as a raster.
        class_map: Its class map, on the same grid.
        out: The picture.
        classes: Names.
        palette: RGB of each class.
        opacity: Of the colours on the overlay, from 0 to 1.

    Raises:
        OutputError: If the picture cannot be written; what ``out`` held is then untouched.
    """
    with image.reopen() if isinstance(image, Raster) else Raster(image) as scene:
        pixels = scene.read_preview(PANEL_PX)
        name, details = scene.path.name, _details(scene)
        gsd = scene.georeference.gsd if _is_metric(scene) else None
        metres_per_pixel = None if gsd is None else gsd * scene.width / pixels.shape[1]
    with Raster(class_map) as raster:
        labels = raster.read_preview(PANEL_PX, smooth=False)[..., 0]
    valid = labels != NODATA_LABEL
    picture = to_rgb(pixels, valid)
    picture = np.where(valid[..., None], picture, np.uint8(EMPTY)).astype(np.uint8)
    colours = np.where(valid[..., None], paint(labels, palette), np.uint8(EMPTY)).astype(np.uint8)
    mixed = mix(picture, colours, labels, opacity)
    shares = np.bincount(labels[valid], minlength=256)[: len(classes)] / max(1, valid.sum())
    page = compose(
        title=name,
        subtitle=details,
        panels=[("Image", picture), ("Class map", colours), ("Overlay", mixed)],
        legend=[
            (f"{name}  {share:.0%}" if share >= 0.005 or share == 0 else f"{name}  <1%", colour)
            for name, share, colour in zip(classes, shares, palette, strict=False)
        ]
        + ([] if valid.all() else [("no data", EMPTY)]),
        metres_per_pixel=metres_per_pixel,
    )
    told = PngInfo()
    told.add_text("Software", f"mmrs {__version__}")  # so that it is never taken for a scene
    try:
        with atomic_path(out) as temporary:
            page.save(temporary, format="PNG", optimize=True, pnginfo=told)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", where=out) from error


def to_rgb(pixels: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> Pixels:
    """(H, W, bands) of any type -> (H, W, 3) uint8; other types than uint8 are stretched.

    The first three bands are taken for red, green and blue; one or two bands give grey.

    Args:
        pixels: (H, W, bands).
        valid: (H, W), which of them hold data: the others' values do not stretch them; None: all.
    """
    bands = pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    if bands.dtype == np.uint8:
        return np.ascontiguousarray(bands)
    bands = np.nan_to_num(bands.astype(np.float32))
    counted = bands.reshape(-1, 3) if valid is None or not valid.any() else bands[valid]
    low, high = np.percentile(counted, (2, 98), axis=0)
    return np.clip((bands - low) / np.maximum(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)


def mix(picture: Pixels, colours: Pixels, labels: Pixels, opacity: float) -> Pixels:
    """Picture under translucent colours (H, W, 3), classes set apart by a dark line."""
    mixed = (1 - opacity) * picture + opacity * colours
    border = np.zeros(labels.shape, dtype=bool)
    border[1:] |= labels[1:] != labels[:-1]
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    mixed[border] *= 0.45
    return np.where((labels == NODATA_LABEL)[..., None], colours, mixed).astype(np.uint8)


def compose(
    *,
    title: str,
    subtitle: str,
    panels: Sequence[tuple[str, Pixels]],
    legend: Sequence[tuple[str, Colour]],
    metres_per_pixel: float | None = None,
) -> Image.Image:
    """Lay out a page: title, panels side by side under their captions, legend.

    Args:
        title: First line.
        subtitle: Second line, smaller.
        panels: (caption, (H, W, 3) RGB), all of one size.
        legend: (text, colour).
        metres_per_pixel: Of the panels; draws a scale bar on the first one.
    """
    height, width = panels[0][1].shape[:2]
    page_width = max(2 * MARGIN + len(panels) * width + (len(panels) - 1) * GAP, 560)
    lines = legend_lines(legend, page_width - 2 * MARGIN)
    top = MARGIN + TITLE_HEIGHT + CAPTION_HEIGHT
    page_height = top + height + 20 + LEGEND_ROW * len(lines) + MARGIN - 6
    page = Image.new("RGB", (page_width, page_height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), title, fill=INK, font=font(26, bold=True))
    draw.text((MARGIN, MARGIN + 28), subtitle, fill=FAINT, font=font(16))
    for index, (caption, pixels) in enumerate(panels):
        left = MARGIN + index * (width + GAP)
        draw.text((left, top - CAPTION_HEIGHT + 4), caption, fill=INK, font=font(17))
        page.paste(Image.fromarray(pixels), (left, top))
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=FAINT)
    if metres_per_pixel is not None:
        _draw_scale(draw, MARGIN, top + height, width, metres_per_pixel)
    draw_legend(draw, lines, MARGIN, top + height + 20)
    return page


def draw_legend(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[Sequence[tuple[int, str, Colour]]],
    left: int,
    top: int,
) -> None:
    """Draw what `legend_lines` has laid out, its upper left corner at (left, top)."""
    for row, line in enumerate(lines):
        for offset, text, colour in line:
            x, y = left + offset, top + row * LEGEND_ROW
            draw.rectangle((x, y, x + 26, y + 18), colour, FAINT)
            draw.text((x + 34, y - 1), text, fill=INK, font=font(17))


def legend_lines(
    legend: Sequence[tuple[str, Colour]], width: int
) -> list[list[tuple[int, str, Colour]]]:
    """Entries broken into lines that fit: (left, text, colour)."""
    lines: list[list[tuple[int, str, Colour]]] = [[]]
    left = 0
    for text, colour in legend:
        needed = 34 + round(font(17).getlength(text)) + 28
        if lines[-1] and left + needed > width:
            lines.append([])
            left = 0
        lines[-1].append((left, text, colour))
        left += needed
    return lines


def _draw_scale(
    draw: ImageDraw.ImageDraw, left: int, bottom: int, width: int, metres_per_pixel: float
) -> None:
    """A bar of a round length, about a quarter of the panel at most."""
    longest = width * metres_per_pixel / 4
    power = 10.0 ** np.floor(np.log10(longest))
    metres = float(max(step * power for step in (1, 2, 5) if step * power <= longest))
    length = round(metres / metres_per_pixel)
    text = f"{metres:g} m" if metres < 1000 else f"{metres / 1000:g} km"
    box = (left + 10, bottom - 46, left + max(length, 60) + 34, bottom - 10)
    draw.rectangle(box, fill=PAPER, outline=FAINT)
    draw.text((left + 22, bottom - 42), text, fill=INK, font=font(15))
    draw.rectangle((left + 22, bottom - 20, left + 22 + length, bottom - 16), fill=INK)


def _details(scene: Raster) -> str:
    parts = [f"{scene.width} x {scene.height} px"]
    reference = scene.georeference
    if reference.gsd is not None and _is_metric(scene):
        parts.append(f"{reference.gsd:g} m per pixel")
    crs = reference.crs or reference.gcps_crs
    parts.append("no CRS" if crs is None else crs.to_string().split("[")[0])
    return "   ·   ".join(parts)


def _is_metric(scene: Raster) -> bool:
    crs = scene.georeference.crs
    return crs is not None and crs.is_projected and crs.linear_units.lower() in ("metre", "meter")


def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font of a size in pixels."""
    # matplotlib, which MMEngine needs, brings a font that knows most alphabets
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)
