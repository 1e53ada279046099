"""From a scene and a model to a class map: windows out of the raster, blended rows into the map."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from mmrs.apis.channel_contract import ChannelContract
from mmrs.apis.overlay import write_overlay
from mmrs.apis.progress import progress_bar
from mmrs.apis.scene_input import open_scene, read_window
from mmrs.apis.window_model import Size, WindowModel, half, load_window_model
from mmrs.errors import ConfigError, OutputError
from mmrs.geo.blending import BandAccumulator, BlendKind, best_class
from mmrs.geo.class_map import write_class_map
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.raster import GDAL_CACHE_BYTES, Raster
from mmrs.geo.resampled import BackToGrid, ResampledRaster
from mmrs.geo.windows import Window, WindowPlan, plan_windows

Progress = Callable[[int, int], None]  # windows done, windows in all


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SceneMap:
    """A class map that was written.

    Attributes:
        path: Where it is.
        classes: Their names.
        pixels: Number of pixels of each class.
        nodata_pixels: Number of pixels without a prediction.
        windows: Number of windows in the plan.
    """

    path: Path
    classes: tuple[str, ...]
    pixels: tuple[int, ...]
    nodata_pixels: int
    windows: int

    def summary(self) -> str:
        """The file and the share of each class that occurs, in one line."""
        total = max(1, sum(self.pixels))
        shares = [
            f"{name} {100 * count / total:.1f} %"
            for name, count in zip(self.classes, self.pixels, strict=True)
            if count
        ]
        return f"{self.path}: {', '.join(shares) or 'no pixel holds data'}"


def predict_scene(
    image: str | Path,
    out: str | Path,
    model: WindowModel,
    *,
    window: int | Size | None = None,
    stride: int | Size | None = None,
    batch_size: int = 4,
    blend: BlendKind = "cosine",
    overlay: str | Path | None = None,
    resample: bool = False,
    progress: Progress | None = None,
) -> SceneMap:
    """Predict a scene of any size into a GeoTIFF on the same grid.

    Args:
        image: GeoTIFF, PNG, JPEG, ...; its nodata becomes the map's.
        out: The class map, ``.tif``: class indices, 255 = nodata, with a colour table.
        model: What predicts.
        window: Side of a window in pixels, or (rows, columns); the model's own by default.
        stride: Step from one window to the next, likewise; by default half a window, or the
            model's own where ``window`` is left out too.
        batch_size: Windows in one call of the model.
        blend: How overlapping windows are mixed.
        overlay: A PNG to write beside it: image, map, both, and a legend.
        resample: Read the image at the ground sampling distance that the model was trained at;
            the map still lies on the image's own grid, each pixel the nearest prediction's.
        progress: Called after every batch.

    Returns:
        What was written.

    Raises:
        DataError: If the image cannot be read, or its bands are not the model's.
        ConfigError: If an option has no meaning.
        OutputError: If the map cannot be written; what ``out`` held is then untouched.
    """
    if stride is None:
        stride = model.stride if window is None else half(_pair(window))
    window = model.window if window is None else window
    if batch_size < 1:
        raise ConfigError(f"batch size must be >= 1, got {batch_size}")
    _check_outputs(Path(image), out, overlay)
    with (
        rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES),
        open_scene(image, model.contract, resample=resample) as raster,
    ):
        if raster.georeference.is_missing:
            logger.warning("warning: %s: has no CRS or grid, so the map will have none", image)
        try:
            plan = plan_windows(raster.height, raster.width, window, stride)
        except ValueError as error:
            raise ConfigError(str(error), fix="choose 1 <= stride <= window") from error
        rows = blended_rows(
            model, raster, plan, batch_size=batch_size, blend=blend, progress=progress
        )
        counts = _write_map(Path(out), raster, rows, model)
        if overlay is not None:
            write_overlay(image, out, overlay, classes=model.classes, palette=model.palette)
    pixels = tuple(int(count) for count in counts[: len(model.classes)])
    return SceneMap(Path(out), tuple(model.classes), pixels, int(counts[NODATA_LABEL]), len(plan))


def blended_rows(
    model: WindowModel,
    raster: Raster,
    plan: WindowPlan,
    *,
    batch_size: int,
    blend: BlendKind = "cosine",
    progress: Progress | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Blended probabilities of a scene, from the top down, as soon as they are final.

    Windows without a valid pixel are never run; batches run on across the lines of windows.

    Args:
        model: What predicts.
        raster: The scene.
        plan: Its windows.
        batch_size: Windows in one call of the model.
        blend: How overlapping windows are mixed.
        progress: Called after every batch.

    Yields:
        (K, n, width): the next n rows.
    """
    band = BandAccumulator(plan, len(model.classes), blend)
    for done, windows, pixels in _read_batches(raster, plan, batch_size, model.contract):
        for window, scores in zip(windows, model(pixels), strict=True):
            yield from band.pop_until(window.row)
            band.add(window, scores)
        if progress is not None:
            progress(done, len(plan))
    yield from band.pop_until(plan.height)
    if progress is not None:
        progress(len(plan), len(plan))  # the last windows may have held nothing


def decide(scores: NDArray[np.float32], threshold: float | None) -> NDArray[np.uint8]:
    """Probabilities (K, H, W) -> class indices (H, W), see ``WindowModel.threshold``."""
    if threshold is None:
        return best_class(scores)
    return (scores[1] > threshold).astype(np.uint8)


def _write_map(
    out: Path, raster: Raster, rows: Iterator[NDArray[np.float32]], model: WindowModel
) -> NDArray[np.int64]:
    """Write decided rows; returns how often each value (0 to 255) occurs."""
    counts = np.zeros(256, dtype=np.int64)
    scene, back = raster, None
    if isinstance(raster, ResampledRaster):
        scene = raster.source
        back = BackToGrid(
            scene.height, scene.width, from_height=raster.height, from_width=raster.width
        )
    with write_class_map(
        out,
        height=scene.height,
        width=scene.width,
        classes=model.classes,
        palette=model.palette,
        georeference=scene.georeference,
    ) as writer:
        for scores in rows:
            labels = decide(scores, model.threshold)
            if back is not None:
                labels = back(labels)
                if not len(labels):
                    continue  # several rows of the prediction lie in one of the image
            here = Window(writer.rows, 0, len(labels), scene.width)
            labels[~scene.read_valid(here)] = NODATA_LABEL
            counts += np.bincount(labels.ravel(), minlength=256)
            writer.write_rows(labels)
    return counts


def _read_batches(
    raster: Raster, plan: WindowPlan, batch_size: int, contract: ChannelContract
) -> Iterator[tuple[int, Sequence[Window], NDArray[Any]]]:
    """Batches of windows that hold data: (windows done, windows, pixels (N, h, w, bands))."""
    holding = (
        (index, window)
        for index, window in enumerate(plan)
        if not raster.has_invalid or raster.read_valid(window).any()
    )
    while chosen := list(islice(holding, batch_size)):
        windows = [window for _, window in chosen]
        pixels = np.stack([read_window(raster, window, contract) for window in windows])
        yield chosen[-1][0] + 1, windows, pixels


def _check_outputs(image: Path, out: str | Path, overlay: str | Path | None) -> None:
    paths = [image, Path(out)] + ([] if overlay is None else [Path(overlay)])
    for index, path in enumerate(paths[1:], start=1):
        if path.resolve() in {other.resolve() for other in paths[:index]}:
            raise OutputError("would overwrite another file of this run", where=path)
    if overlay is not None and Path(overlay).suffix.lower() != ".png":
        raise OutputError("the overlay is a PNG", where=overlay, fix="end its name in .png")


def _pair(value: int | Size) -> Size:
    return (value, value) if isinstance(value, int) else value


def predict_file(
    image: str | Path,
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    window: int | None = None,
    stride: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    device: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    overlay: str | Path | None = None,
    resample: bool = False,
) -> SceneMap:
    """What ``tools/predict.py`` does: load a trained model, predict a scene, show the progress.

    Args:
        image: As in ``predict_scene``.
        config: The model's config.
        checkpoint: Its weights.
        out: As in ``predict_scene``.
        window: As in ``predict_scene``.
        stride: As in ``predict_scene``.
        overlap: Pixels that neighbouring windows share, instead of ``stride``.
        batch_size: As in ``predict_scene``.
        device: ``cpu``, ``cuda``, ...; by default a GPU where there is one.
        cfg_options: Keys of the config to override.
        overlay: As in ``predict_scene``.
        resample: As in ``predict_scene``.

    Raises:
        MmrsError: As ``predict_scene`` and ``load_window_model``.
    """
    # what needs no model is refused before one is loaded
    with rasterio.Env(), Raster(image):
        _check_outputs(Path(image), out, overlay)
    model = load_window_model(config, checkpoint, device=device, cfg_options=cfg_options)
    step: int | Size | None = stride
    if overlap is not None:
        height, width = model.window if window is None else _pair(window)
        step = (height - overlap, width - overlap)
    with progress_bar("windows") as progress:
        return predict_scene(
            image,
            out,
            model,
            window=window,
            stride=step,
            batch_size=batch_size,
            overlay=overlay,
            resample=resample,
            progress=progress,
        )
