"""A trained segmentor as scene prediction sees it: pixels of windows in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from numpy.typing import NDArray

from mmrs.apis.config_load import load_config
from mmrs.compat import safe_load_checkpoint
from mmrs.errors import CheckpointError, ConfigError
from mmrs.geo.palette import check_palette, default_palette

BandOrder = Literal["file", "reversed"]

# steps of a test pipeline that scene prediction does itself, or that do nothing to the pixels
_GEOMETRY = {
    "CheckSample",
    "LoadAnnotations",
    "PackSegInputs",
    "Pad",
    "RandomFlip",
    "Resize",
    "ResizeToMultiple",
}


@dataclass(frozen=True)
class InputSpec:
    """What a model takes, as its training read it.

    Attributes:
        bands: Number of bands.
        dtype: NumPy's name of the pixel type, None where the pipeline takes any.
        order: ``file``, or ``reversed``: OpenCV hands RGB pictures over as BGR.
    """

    bands: int
    dtype: str | None
    order: BandOrder


class WindowModel(Protocol):
    """What scene prediction needs of a model, whatever runs it.

    Attributes:
        classes: Names, in the order of the scores.
        palette: RGB of each class.
        spec: What it takes.
        threshold: With two classes, the probability from which the second wins; None: the
            larger one wins.
    """

    classes: Sequence[str]
    palette: Sequence[tuple[int, int, int]]
    spec: InputSpec
    threshold: float | None

    def __call__(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels in file order, (N, h, w, bands) -> probabilities (N, K, h, w)."""
        ...


class SegmentorWindowModel:
    """An MMSegmentation segmentor as a ``WindowModel``.

    Args:
        model: In evaluation mode; its data preprocessor normalises, as it did in training.
        spec: What its training pipeline read.
        classes: Names.
        palette: RGB of each class.
    """

    def __init__(
        self,
        model: Any,
        *,
        spec: InputSpec,
        classes: Sequence[str],
        palette: Sequence[tuple[int, int, int]],
    ):
        self.model = model
        self.spec = spec
        self.classes = tuple(classes)
        self.palette = tuple(palette)
        head = _last_head(model)
        # one output channel and a threshold is MMSeg's other way to tell two classes apart
        self.threshold: float | None = head.threshold if head.out_channels == 1 else None

    @torch.inference_mode()
    def __call__(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels in file order, (N, h, w, bands) -> probabilities (N, K, h, w)."""
        _, height, width, _ = windows.shape
        if self.spec.order == "reversed":
            windows = windows[..., ::-1]
        batch = torch.from_numpy(np.ascontiguousarray(windows.transpose(0, 3, 1, 2)))
        meta = {"img_shape": (height, width), "ori_shape": (height, width)}
        samples = [SegDataSample(metainfo={**meta, "pad_shape": (height, width)}) for _ in batch]
        data = self.model.data_preprocessor({"inputs": list(batch), "data_samples": samples})
        metas = [sample.metainfo for sample in data["data_samples"]]
        logits = self.model.encode_decode(data["inputs"], metas)[..., :height, :width].float()
        if self.threshold is not None:
            second = logits.sigmoid()
            scores = torch.cat([1 - second, second], dim=1)
        else:
            scores = logits.softmax(dim=1)
        return np.asarray(scores.cpu().numpy())


def load_window_model(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    device: str = "cpu",
    cfg_options: dict[str, Any] | None = None,
) -> SegmentorWindowModel:
    """Build a config's segmentor, load trained weights, make it ready for windows.

    Args:
        config: An MMSegmentation config.
        checkpoint: What ``tools/train.py`` saved.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...
        cfg_options: Keys of the config to override.

    Raises:
        ConfigError: If the config cannot be used for prediction.
        CheckpointError: If the checkpoint is missing, damaged, or of another model.
    """
    cfg = load_config(config, cfg_options=cfg_options)
    where = getattr(cfg, "filename", None)
    spec = read_input_spec(cfg)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    model_cfg = cfg.model.copy()
    model_cfg.pop("pretrained", None)
    model = MODELS.build(model_cfg)
    meta = load_weights(model, checkpoint)
    num_classes = _last_head(model).num_classes
    classes, palette = _class_names(cfg, meta, num_classes, checkpoint, where)
    model.to(device).eval()
    return SegmentorWindowModel(model, spec=spec, classes=classes, palette=palette)


def read_input_spec(cfg: Config) -> InputSpec:
    """Which bands, of which type and order, the config's test pipeline feeds the model.

    Raises:
        ConfigError: If the pipeline changes pixels in a way that windows cannot follow.
    """
    pipeline = cfg.get("test_pipeline") or cfg.get("test_dataloader", {}).get("dataset", {}).get(
        "pipeline"
    )
    where = getattr(cfg, "filename", None)
    bands = len(cfg.model.get("data_preprocessor", {}).get("mean") or ()) or int(
        cfg.model.get("backbone", {}).get("in_channels", 3)
    )
    if not pipeline:
        return InputSpec(3, "uint8", "reversed")
    load, *others = pipeline
    for step in others:
        if _name(step) not in _GEOMETRY:
            raise ConfigError(
                f"test_pipeline holds {_name(step)}, which windows cannot go through",
                where=where,
                fix="leave it out of test_pipeline, or move it into the data preprocessor",
            )
    if _name(load) == "LoadSingleRSImageFromFile":
        return InputSpec(bands, None, "file")
    if _name(load) != "LoadImageFromFile":
        raise ConfigError(
            f"test_pipeline begins with {_name(load)}, whose band order is not known",
            where=where,
            fix="begin it with LoadImageFromFile or LoadSingleRSImageFromFile",
        )
    if load.get("imdecode_backend", "cv2") == "tifffile":
        return InputSpec(bands, None, "file")
    colour = load.get("color_type", "color")
    if colour == "grayscale":
        return InputSpec(1, "uint8", "file")
    if colour != "color":
        raise ConfigError(
            f"test_pipeline reads color_type={colour!r}, whose band order depends on the file",
            where=where,
            fix="use color_type='color', or imdecode_backend='tifffile'",
        )
    return InputSpec(3, "uint8", "reversed")


def load_weights(model: torch.nn.Module, checkpoint: str | Path) -> dict[str, Any]:
    """Load a checkpoint into a model, every tensor of it, and return its ``meta``.

    Raises:
        CheckpointError: If it is missing, damaged, or its tensors are not the model's.
    """
    path = Path(checkpoint)
    content = safe_load_checkpoint(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise CheckpointError("holds no weights", where=path, fix="name a checkpoint (.pth)")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    _check_same_tensors(model.state_dict(), state, path)
    model.load_state_dict(state)
    meta = content.get("meta", {})
    return meta if isinstance(meta, dict) else {}


def _check_same_tensors(wanted: dict[str, Any], found: dict[str, Any], path: Path) -> None:
    for key in wanted.keys() | found.keys():
        shapes = [tuple(side[key].shape) if key in side else None for side in (wanted, found)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"of another model than the config's: {key} is {shapes[1] or 'missing'} in the "
                f"checkpoint and {shapes[0] or 'missing'} in the model",
                where=path,
                fix="use the config that it was trained with",
            )


def _class_names(
    cfg: Config,
    meta: dict[str, Any],
    num_classes: int,
    checkpoint: str | Path,
    where: str | None,
) -> tuple[Sequence[str], list[tuple[int, int, int]]]:
    """Names and colours: the checkpoint's own, the config's ``metainfo``, or numbers."""
    dataset = cfg.get("test_dataloader", {}).get("dataset", {})
    info = meta.get("dataset_meta") or dataset.get("metainfo") or {}
    classes = info.get("classes")
    if classes is None:
        classes = tuple(f"class {index}" for index in range(num_classes))
    if len(classes) != num_classes:
        raise CheckpointError(
            f"names {len(classes)} classes, but the model has {num_classes}",
            where=checkpoint,
            fix="set num_classes of every head to the number of classes trained",
        )
    palette = info.get("palette") or default_palette(num_classes)
    try:
        return classes, check_palette(palette, num_classes)
    except ValueError as error:
        raise ConfigError(str(error), where=where, fix="mend the palette") from error


def _last_head(model: Any) -> Any:
    head = model.decode_head
    return head[-1] if isinstance(head, torch.nn.ModuleList) else head


def _name(step: dict[str, Any]) -> str:
    return str(step["type"]).rpartition(".")[2]
