"""From scenes and a model to class maps: what ``tools/predict.py`` does, and from Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import rasterio

from mmrs.apis.overlay import write_overlay
from mmrs.apis.scene.crf_settings import CRFSettings, color_bands
from mmrs.apis.scene.scene_input import open_scene
from mmrs.apis.scene.scene_outputs import check_outputs
from mmrs.apis.scene.scene_resume import check_identity, run_scenes
from mmrs.apis.scene.scene_run import SceneResult
from mmrs.apis.scene.scene_settings import SceneOutputs, Settings
from mmrs.apis.scene.scene_stream import Scene
from mmrs.apis.window.window_protocol import Size, WindowModel, as_size, half
from mmrs.errors import ConfigError, DataError, EnvironmentError, OutputError
from mmrs.geo.array_raster import DatasetRaster
from mmrs.geo.atomic import make_folder
from mmrs.geo.blending import BlendKind
from mmrs.geo.palette import NODATA_LABEL
from mmrs.geo.polygons.vectors import check_vectors
from mmrs.geo.raster import GDAL_CACHE_BYTES, Raster
from mmrs.geo.resampled import ResampledRaster
from mmrs.geo.rows.memory_rows import MemoryRows
from mmrs.geo.windows import plan_windows

Progress = Callable[[int, int], None]  # windows done, windows in all


logger = logging.getLogger(__name__)


class RunScenes(Protocol):
    """Predicts planned scenes; `run_scenes` in one process."""

    def __call__(
        self,
        scenes: Sequence[Scene],
        model: WindowModel,
        settings: Settings,
        progress: Progress | None,
    ) -> list[SceneResult]:
        """What became of each scene, in their order."""
        ...


@dataclass(frozen=True)
class SceneMap:
    """A class map that was written.

    Attributes:
        path: Where it is; empty where it was kept in memory.
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
    image: str | Path | Raster,
    out: str | Path | MemoryRows,
    model: WindowModel,
    *,
    window: int | Size | None = None,
    stride: int | Size | None = None,
    batch_size: int = 4,
    blend: BlendKind = "cosine",
    overlay: str | Path | None = None,
    resample: bool = False,
    resume: bool = False,
    crf: CRFSettings | None = None,
    outputs: SceneOutputs | None = None,
    progress: Progress | None = None,
) -> SceneMap:
    """Predict a scene of any size into a GeoTIFF on the same grid.

    Args:
        image: GeoTIFF, PNG, JPEG, ..., or an array or dataset as a raster
            (`mmrs.geo.array_raster`); its nodata becomes the map's.
        out: The class map, ``.tif``: class indices, 255 = nodata, with a colour table; or
            where to keep it in memory.
        model: What predicts.
        window: As `predict_scenes`.
        stride: As `predict_scenes`.
        batch_size: As `predict_scenes`.
        blend: As `predict_scenes`.
        overlay: A PNG to write beside it: image, map, both, and a legend.
        resample: As `predict_scenes`.
        resume: As `predict_scenes`.
        crf: As `predict_scenes`.
        outputs: As `predict_scenes`.
        progress: As `predict_scenes`.

    Returns:
        What was written.

    Raises:
        DataError: If the image cannot be read, or its bands are not the model's.
        ConfigError: If an option has no meaning.
        OutputError: If the map cannot be written; what ``out`` held is then untouched.
    """
    if overlay is not None:
        _check_overlay(_image(image), out, Path(overlay))
    (written,) = predict_scenes(
        [(image, out)],
        model,
        window=window,
        stride=stride,
        batch_size=batch_size,
        blend=blend,
        resample=resample,
        resume=resume,
        crf=crf,
        outputs=outputs,
        progress=progress,
    )
    if overlay is not None:
        write_overlay(image, Path(out), overlay, classes=model.classes, palette=model.palette)
    return written


def predict_scenes(
    pairs: Sequence[tuple[str | Path | Raster, str | Path | MemoryRows]],
    model: WindowModel,
    *,
    window: int | Size | None = None,
    stride: int | Size | None = None,
    batch_size: int = 4,
    blend: BlendKind = "cosine",
    resample: bool = False,
    resume: bool = False,
    skip_bad: bool = False,
    crf: CRFSettings | None = None,
    outputs: SceneOutputs | None = None,
    progress: Progress | None = None,
    run: RunScenes = run_scenes,
) -> list[SceneMap]:
    """Predict scenes, as one stream of batches, each into a GeoTIFF on its own grid.

    Every scene is looked at before the first is predicted.

    Args:
        pairs: (image, class map) of each scene.
        model: What predicts.
        window: Side of a window in pixels, or (rows, columns); the model's own by default.
        stride: Step from one window to the next, likewise; by default half a window, or the
            model's own where ``window`` is left out too.
        batch_size: Windows in one call of the model.
        blend: How overlapping windows are mixed.
        resample: Read the images at the ground sampling distance that the model was trained at;
            a map still lies on its image's own grid, each pixel the nearest prediction's.
        resume: Go on with what an interrupted run left beside the maps; scenes whose files are
            there, made as they would be now, are finished.  The model needs an ``identity``, a
            dict that tells it from others.
        skip_bad: Go on with the other scenes where one is damaged.
        crf: A dense CRF over the blended probabilities; it takes the place of one that the model
            puts after each window.
        outputs: What is written beside the class maps, and how.
        progress: Called after every batch.
        run: Predicts the scenes; in this process by default, see `mmrs.apis.scene.scene_ranks`.

    Returns:
        What was written, in the order of ``pairs``; without the scenes that were skipped.

    Raises:
        DataError: If an image cannot be read, or its bands are not the model's.
        ConfigError: If an option has no meaning.
        OutputError: If a file cannot be written; what it held is then untouched.
    """
    if batch_size < 1:
        raise ConfigError(f"batch size must be >= 1, got {batch_size}")
    if blend not in get_args(BlendKind):
        raise ConfigError(f"blend must be one of {', '.join(get_args(BlendKind))}, got {blend!r}")
    size = as_size(model.window if window is None else window)
    if stride is None:
        stride = model.stride if window is None else half(size)
    settings = Settings(
        batch_size=batch_size,
        blend=blend,
        resample=resample,
        resume=resume,
        skip_bad=skip_bad,
        outputs=outputs or SceneOutputs(),
        crf=crf,
        model=getattr(model, "identity", {}),
    )
    if resume:
        check_identity(settings.model)
    if crf is not None:
        model = _without_window_crf(model)
    paths = [(_image(image), _target(out)) for image, out in pairs]
    check_outputs(paths, settings.outputs)
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        scenes = _plan_scenes(paths, model, size, as_size(stride, "stride"), settings)
    return [
        _scene_map(result.scene, model, result.counts)
        for result in run(scenes, model, settings, progress)
        if result.counts is not None
    ]


def _plan_scenes(
    pairs: Sequence[tuple[Path | Raster, Path | MemoryRows]],
    model: WindowModel,
    window: Size,
    stride: Size,
    settings: Settings,
) -> list[Scene]:
    scenes = []
    for image, out in pairs:
        try:
            scenes.append(plan_scene(image, out, model, window, stride, settings))
        except DataError as error:
            if not settings.skip_bad:
                raise
            logger.warning("warning: skipped: %s", error)
    return scenes


def plan_scene(
    image: Path | Raster,
    out: Path | MemoryRows,
    model: WindowModel,
    window: Size,
    stride: Size,
    settings: Settings,
) -> Scene:
    """Look at a scene: whether it can be predicted, and in which windows.

    Raises:
        MmrsError: As `predict_scenes`.
    """
    with open_scene(image, model.contract, resample=settings.resample) as raster:
        # who gives an array without a place wants none
        if raster.georeference.is_missing and not raster.in_memory:
            logger.warning("warning: %s: has no CRS or grid, so the map will have none", image)
        if settings.crf is not None:
            color_bands(settings.crf, raster)
        if settings.outputs.vectors is not None and isinstance(out, Path):
            source = raster.source if isinstance(raster, ResampledRaster) else raster
            check_vectors(
                settings.outputs.paths(out)["vectors"],
                height=source.height,
                width=source.width,
                georeference=source.georeference,
                options=settings.outputs.vector_options,
            )
        try:
            plan = plan_windows(raster.height, raster.width, window, stride)
        except ValueError as error:
            raise ConfigError(str(error), fix="choose 1 <= stride <= window") from error
        if settings.resume and isinstance(image, DatasetRaster):
            raise ConfigError(
                f"nothing tells whether {image.path} is still the same dataset", where="resume",
                fix="give a file or an array, or leave it out",
            )  # fmt: skip
    return Scene(image, plan, range(plan.height), out)


def _without_window_crf(model: WindowModel) -> WindowModel:
    try:
        from mmrs.apis.scene.crf_pass import without_window_crf
    except ImportError as error:
        raise EnvironmentError(
            f"a dense CRF needs PyTorch ({error})",
            where="crf",
            fix="install torch, or leave the CRF out",
        ) from error
    return without_window_crf(model)


def _image(image: str | Path | Raster) -> Path | Raster:
    return image if isinstance(image, Raster) else Path(image)


def _target(out: str | Path | MemoryRows) -> Path | MemoryRows:
    return out if isinstance(out, MemoryRows) else Path(out)


def _scene_map(scene: Scene, model: WindowModel, counts: Any) -> SceneMap:
    return SceneMap(
        scene.out if isinstance(scene.out, Path) else Path(),
        tuple(model.classes),
        tuple(int(count) for count in counts[: len(model.classes)]),
        int(counts[NODATA_LABEL]),
        len(scene.plan),
    )


def _check_overlay(image: Path | Raster, out: str | Path | MemoryRows, overlay: Path) -> None:
    if isinstance(out, MemoryRows):
        raise OutputError("needs a class map that is a file", where=overlay)
    if overlay.suffix.lower() != ".png":
        raise OutputError("the overlay is a PNG", where=overlay, fix="end its name in .png")
    others = {Path(path).resolve() for path in (image, out) if not isinstance(path, Raster)}
    if overlay.resolve() in others:
        raise OutputError("would overwrite another file of this run", where=overlay)
    make_folder(overlay)
