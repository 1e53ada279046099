"""Maps from Python: a trained model, ready for scenes that are files, datasets or arrays."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.predict import Progress, SceneMap, predict_scene
from mmrs.apis.scene.crf_settings import CRFSettings
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.apis.scene_prediction import ScenePrediction
from mmrs.apis.window.augmented_model import AugmentedWindowModel, Symmetries
from mmrs.apis.window.window_protocol import Size, WindowModel, as_size, stride_of
from mmrs.errors import ConfigError
from mmrs.geo.array_raster import ArrayRaster, DatasetRaster, file_of_dataset
from mmrs.geo.blending import BlendKind
from mmrs.geo.raster import Raster
from mmrs.geo.rows.memory_rows import MemoryRows

AnyPath = str | PathLike[str]
SceneLike = AnyPath | NDArray[Any] | Any  # the last: an open dataset of rasterio's


class SceneSegmentor:
    """A trained model that maps scenes of any size: what ``tools/predict.py`` does, from Python.

    ::

        segmentor = SceneSegmentor("config.py", "weights.pth")
        prediction = segmentor("scene.tif")  # arrays
        segmentor("scene.tif", out="map.tif")  # files

    One model serves many scenes.  Several threads may call it: their calls take turns.

    Args:
        model: A config, with ``weights``; an exported ``.onnx`` file; or any ``WindowModel``
            (`mmrs.apis.window.window_protocol`), which is taken as it is.
        weights: The checkpoint of a config.
        device: ``cpu``, ``cuda``, ...; by default a GPU where there is one.
        cfg_options: Keys of the config to override.
        amp: Of a config: ``bf16`` or ``fp16``, half precision where it is safe; None for none.
        compile: Of a config: by ``torch.compile``.
        channels_last: Of a config: how batches are laid out.
        threads: Of ONNX Runtime on a CPU; its own choice by default.
        symmetries: ``flips`` or ``d4``: the mean over windows laid in four or eight ways.
        scales: Sizes of the windows, over which the mean is taken too.

    Attributes:
        model: The ``WindowModel``.

    Raises:
        ConfigError: The config cannot be used, or an option has no meaning here.
        CheckpointError: The weights are missing, damaged, or of another model.
        EnvironmentError: The device, or a library, is not there.
    """

    def __init__(
        self,
        model: AnyPath | WindowModel | Any,
        weights: AnyPath | None = None,
        *,
        device: str | None = None,
        cfg_options: dict[str, Any] | None = None,
        amp: Literal["bf16", "fp16"] | None = None,
        compile: bool = False,
        channels_last: bool = False,
        threads: int | None = None,
        symmetries: Symmetries = "none",
        scales: Sequence[float] = (1.0,),
    ) -> None:
        given = {
            "weights": weights, "cfg_options": cfg_options, "amp": amp, "compile": compile,
            "channels_last": channels_last, "device": device, "threads": threads,
        }  # fmt: skip
        told = {key: v for key, v in given.items() if v not in (None, {}) and v is not False}
        ready: WindowModel = _load(model, told)
        if symmetries != "none" or tuple(scales) != (1.0,):
            ready = AugmentedWindowModel(ready, symmetries=symmetries, scales=scales)
        self.model = ready
        self._turn = threading.Lock()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""
        return tuple(self.model.classes)

    @overload
    def __call__(self, image: SceneLike, *, out: None = ..., **options: Any) -> ScenePrediction: ...
    @overload
    def __call__(self, image: SceneLike, *, out: AnyPath, **options: Any) -> SceneMap: ...
    def __call__(
        self,
        image: SceneLike,
        *,
        out: AnyPath | None = None,
        transform: Any = None,
        crs: Any = None,
        nodata: float | None = None,
        valid: NDArray[np.bool_] | None = None,
        band_names: Sequence[str] = (),
        window: int | Size | None = None,
        stride: int | Size | None = None,
        overlap: int | None = None,
        batch_size: int = 4,
        blend: BlendKind = "cosine",
        resample: bool = False,
        resume: bool = False,
        crf: CRFSettings | None = None,
        outputs: SceneOutputs | None = None,
        overlay: AnyPath | None = None,
        progress: Progress | None = None,
    ) -> ScenePrediction | SceneMap:
        """Map a scene.

        Args:
            image: A path; an open dataset of rasterio's (of a ``MemoryFile`` or a ``WarpedVRT``
                too), which stays open and must not be used meanwhile; or an array (H, W, bands)
                or (H, W), its bands in the order and type of the files of the training.
            out: The class map to write, ``.tif``; None gives arrays instead of files.
            transform: Of an array: pixel (column, row) -> CRS coordinates.
            crs: Of an array: such as ``"EPSG:32633"``.
            nodata: Of an array: the value that means no data where all bands hold it.
            valid: Of an array: (H, W) bool, which pixels hold data.
            band_names: Of an array, to be compared with those of the training.
            window: As `mmrs.apis.predict.predict_scenes`, and likewise all that follow.
            stride: Likewise.
            overlap: Pixels that neighbouring windows share, instead of ``stride``.
            batch_size: Likewise.
            blend: Likewise.
            resample: Likewise; of files only.
            resume: Likewise; of files and arrays, with ``out``.
            crf: Likewise.
            outputs: Likewise; without ``out`` of its choices ``confidence``, ``entropy`` and
                ``probabilities`` are had as arrays, not rounded.
            overlay: A PNG to write beside ``out``: image, map, both, and a legend.
            progress: Likewise.

        Returns:
            Arrays, or with ``out`` what was written.

        Raises:
            DataError: The scene cannot be read, or its bands are not the model's.
            ConfigError: An option has no meaning.
            OutputError: A file cannot be written; what it held is then untouched.
        """
        outputs = outputs or SceneOutputs()
        array = {
            "transform": transform, "crs": crs, "nodata": nodata, "valid": valid,
            "band_names": tuple(band_names),
        }  # fmt: skip
        source = _source(image, array)
        if out is None:
            _check_memory(outputs, overlay=overlay, resume=resume)
        target = MemoryRows() if out is None else Path(out)
        with self._turn:
            written = predict_scene(
                source,
                target,
                self.model,
                window=window,
                stride=self._stride(window, stride, overlap),
                batch_size=batch_size,
                blend=blend,
                overlay=None if overlay is None else Path(overlay),
                resample=resample,
                resume=resume,
                crf=crf,
                outputs=outputs,
                progress=progress,
            )
        return self._prediction(target, written) if isinstance(target, MemoryRows) else written

    def _stride(
        self, window: int | Size | None, stride: int | Size | None, overlap: int | None
    ) -> int | Size | None:
        if overlap is None:
            return stride
        if stride is not None:
            raise ConfigError("stride and overlap say the same: give one of them")
        return stride_of(as_size(self.model.window if window is None else window), overlap)

    def _prediction(self, kept: MemoryRows, written: SceneMap) -> ScenePrediction:
        rows = kept.result()
        return ScenePrediction(
            rows.labels,
            rows.confidence,
            rows.entropy,
            rows.probabilities,
            classes=written.classes,
            palette=tuple(self.model.palette),
            georeference=kept.georeference,
            pixels=written.pixels,
            nodata_pixels=written.nodata_pixels,
            windows=written.windows,
        )


def _load(model: Any, options: dict[str, Any]) -> WindowModel:
    """A model that is ready, of what `SceneSegmentor` was given."""
    is_file = isinstance(model, (str, PathLike))
    if callable(model) and hasattr(model, "contract"):
        _check_meant(options, (), "a model that is ready")
        return model
    if is_file and Path(model).suffix.lower() == ".onnx":
        _check_meant(options, ("device", "threads"), "an ONNX file")
        from mmrs.apis.onnx.onnx_model import load_onnx_model

        return load_onnx_model(Path(model), **options)
    meant = ("weights", "device", "cfg_options", "amp", "compile", "channels_last")
    _check_meant(options, meant, "a config")
    if "weights" not in options:
        raise ConfigError(
            "a config needs weights",
            where=str(model) if is_file else None,
            fix="give the checkpoint (.pth) too, or an exported .onnx file alone",
        )
    from mmrs.apis.environment import prepare_process

    prepare_process()
    from mmrs.apis.window.window_model import load_window_model

    return load_window_model(model, Path(options.pop("weights")), **options)


def _check_meant(options: dict[str, Any], meant: Sequence[str], kind: str) -> None:
    unused = [name for name in options if name not in meant]
    if unused:
        raise ConfigError(f"{unused[0]} has no meaning for {kind}", fix="leave it out")


def _source(image: Any, array: dict[str, Any]) -> Path | Raster:
    """A scene as the engine takes it.

    Args:
        image: As `SceneSegmentor` takes it.
        array: What is told of it, where it is an array.
    """
    is_dataset = hasattr(image, "colorinterp") and hasattr(image, "read")
    is_file = isinstance(image, (str, PathLike))
    if not (is_dataset or is_file or isinstance(image, Raster)):
        if not hasattr(image, "__array__"):
            raise ConfigError(
                f"a scene is a path, an open dataset or an array, got {type(image).__name__}",
                fix="of a MemoryFile give what its open() returns",
            )
        return ArrayRaster(image, **array)
    told = [name for name, value in array.items() if value is not None and value != ()]
    if told:
        raise ConfigError(
            f"{told[0]} is told of arrays only", fix="leave it out: files and datasets say it"
        )
    if isinstance(image, Raster):
        return image
    if is_file:
        return Path(image)
    # a file is opened anew, so that the dataset is free meanwhile
    return file_of_dataset(image) or DatasetRaster(image)


def _check_memory(outputs: SceneOutputs, *, overlay: Any, resume: bool) -> None:
    wishes = {
        "vectors": outputs.vectors is not None,
        "areas": outputs.areas,
        "overlay": outputs.overlay or overlay is not None,
        "resume": resume,
    }
    needing = [name for name, wished in wishes.items() if wished]
    if needing:
        raise ConfigError(f"{needing[0]} needs files", fix="give out=..., the class map to write")
