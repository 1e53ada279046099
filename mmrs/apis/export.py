"""From a config and its weights to one ONNX file, published only where it equals PyTorch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from mmengine.config import Config

from mmrs.apis.config.config_load import load_config
from mmrs.apis.config.config_types import config_name
from mmrs.apis.onnx.onnx_check import Difference, Progress, check_equal, default_check_sizes
from mmrs.apis.onnx.onnx_graph import DEFAULT_OPSET, EXPORTERS, Exporter, trace_graph
from mmrs.apis.onnx.onnx_metadata import OnnxMetadata, seal
from mmrs.apis.onnx.onnx_model import read_onnx_model
from mmrs.apis.window.window_model import SegmentorWindowModel, load_window_model
from mmrs.apis.window.window_protocol import Size, as_size, half
from mmrs.errors import ConfigError, OutputError
from mmrs.geo.atomic import atomic_path

MAX_BYTES = 2**31 - 2**20  # protobuf's limit, less what is not weights
CRF = "dense CRF"


@dataclass(frozen=True)
class ExportedModel:
    """An ONNX file that was written.

    Attributes:
        path: Where it is.
        metadata: What it says of itself.
        num_bytes: Its size.
        seconds: That exporting and checking took.
        differences: From PyTorch, one of each size and kind of input.
    """

    path: Path
    metadata: OnnxMetadata
    num_bytes: int
    seconds: float
    differences: tuple[Difference, ...]

    def summary(self) -> str:
        """What was written and how near it is, in one line."""
        worst = max(self.differences, key=lambda difference: difference.largest)
        changed = sum(difference.changed for difference in self.differences)
        pixels = sum(difference.pixels for difference in self.differences)
        without = "".join(f", without its {part}" for part in self.metadata.left_out)
        return (
            f"{self.path}: {self.num_bytes / 1e6:.1f} MB, {self.seconds:.0f} s{without}; at most "
            f"{worst.largest:.1e} in probability from PyTorch at {len(self.differences)} inputs, "
            f"{changed} of {pixels} pixels of another class"
        )


def export_onnx(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | Path,
    *,
    window: int | Size | None = None,
    stride: int | Size | None = None,
    opset: int = DEFAULT_OPSET,
    exporter: Exporter = "trace",
    check_sizes: Sequence[Size] | None = None,
    without_crf: bool = False,
    cfg_options: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExportedModel:
    """Write a trained model as one ONNX file that scene prediction runs without PyTorch.

    The file takes pixels as the images hold them, scales and normalises inside, and gives
    probabilities. Batch, height and width are free; where the network takes only multiples of
    some number, the graph pads as the data preprocessor's ``test_cfg.size_divisor`` does. Before
    the file is published, ONNX Runtime runs it at several sizes beside PyTorch.

    Args:
        config: The model's config.
        checkpoint: Its weights.
        out: The file to write, ``.onnx``.
        window: Side of a window in pixels, or (rows, columns), to write into the file; the
            model's own by default.
        stride: Step between windows, likewise; by default half a window, or the model's own.
        opset: Version of ONNX's operators.
        exporter: ``trace``, or ``dynamo``, PyTorch's newer one, many times slower.
        check_sizes: (rows, columns) at which to compare; the window and small, odd ones by
            default.
        without_crf: Export a network whose segmentor refines its result by a dense CRF; the file
            is without it.
        cfg_options: Keys of the config to override.
        progress: Called after every input that was compared.

    Raises:
        ConfigError: An option has no meaning, or the model cannot be exported as it is.
        CheckpointError: The checkpoint is missing, damaged, or of another model.
        OutputError: The file differs from PyTorch, is too large, or cannot be written; what
            ``out`` held is then untouched.
    """
    start = time.perf_counter()
    out = Path(out)
    _check_options(out, opset, exporter)
    cfg = load_config(config, cfg_options=cfg_options)
    model = load_window_model(cfg, checkpoint, device="cpu")
    left_out = _leave_out_crf(model, without_crf)
    model.window, model.stride = _window_and_stride(model, window, stride)
    metadata = OnnxMetadata(
        contract=replace(model.contract, bands=_bands(model, config_name(cfg))),
        classes=tuple(model.classes),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in model.palette),
        threshold=model.threshold,
        window=model.window,
        stride=model.stride,
        left_out=left_out,
        config=Path(config_name(cfg)).name,
        checkpoint_sha256=hashlib.sha256(Path(checkpoint).expanduser().read_bytes()).hexdigest(),
    )
    _check_bytes(model, out)
    _pad_where_needed(model)
    sizes = default_check_sizes(model.window) if check_sizes is None else check_sizes
    proto = trace_graph(model, bands=metadata.contract.bands or 0, opset=opset, exporter=exporter)
    content = _serialise(proto, metadata)
    with atomic_path(out) as temporary:
        _write(content, temporary, out)
        # what is compared is the file itself, read as its users will read it
        exported = read_onnx_model(temporary, device="cpu")
        differences = check_equal(model, exported, sizes=sizes, where=out, progress=progress)
    seconds = time.perf_counter() - start
    return ExportedModel(out, metadata, len(content), seconds, differences)


def _check_options(out: Path, opset: int, exporter: str) -> None:
    if out.suffix.lower() != ".onnx":
        raise OutputError("the name must end with .onnx", where=out, fix="rename it")
    if opset < 16:
        raise ConfigError(f"opset must be >= 16, got {opset}", fix="18 suits all models here")
    if exporter not in EXPORTERS:
        raise ConfigError(f"exporter must be one of {', '.join(EXPORTERS)}, got {exporter!r}")


def _leave_out_crf(model: SegmentorWindowModel, without_crf: bool) -> tuple[str, ...]:
    if not hasattr(model.model, "refine_logits"):
        if without_crf:
            raise ConfigError(
                "the model has no CRF", where="--without-crf", fix="leave the option out"
            )
        return ()
    if not without_crf:
        raise ConfigError(
            "a dense CRF follows the network, and is not in ONNX: the maps would differ",
            where="model.type",
            fix="--without-crf exports the network alone; tools/predict.py --crf puts a CRF over "
            "the map",
        )
    # what the file is compared with has none either
    model.model.refine_logits = lambda logits, *_: logits
    return (CRF,)


def _window_and_stride(
    model: SegmentorWindowModel, window: int | Size | None, stride: int | Size | None
) -> tuple[Size, Size]:
    size = as_size(model.window if window is None else window)
    if stride is not None:
        step = as_size(stride, "stride")
    else:
        step = model.stride if window is None else half(size)
    if not all(1 <= s <= w for s, w in zip(step, size, strict=True)):
        raise ConfigError(
            f"1 <= stride <= window must hold, got stride {step} and window {size}",
            fix="choose another --stride or --window",
        )
    return size, step


def _bands(model: SegmentorWindowModel, where: str) -> int:
    bands = model.contract.bands or len(model.contract.file_bands or ())
    if not bands:
        raise ConfigError(
            "it does not say how many bands the model takes",
            where=where,
            fix="set model.backbone.in_channels",
        )
    return bands


def _check_bytes(model: SegmentorWindowModel, out: Path) -> None:
    tensors = model.model.state_dict().values()
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if num_bytes > MAX_BYTES:
        raise OutputError(
            f"the weights take {num_bytes / 1e9:.1f} GB, one ONNX file holds at most 2 GB",
            where=out,
            fix="narrow the model, or predict with its checkpoint",
        )


def _pad_where_needed(model: SegmentorWindowModel) -> None:
    """Let the data preprocessor pad windows whose sides the network does not take."""
    preprocessor = model.model.data_preprocessor
    if not getattr(preprocessor, "test_cfg", None):
        divisor = model.find_size_divisor()
        preprocessor.test_cfg = {"size_divisor": divisor} if divisor > 1 else None


def _serialise(proto: onnx.ModelProto, metadata: OnnxMetadata) -> bytes:
    for key, value in metadata.to_props().items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(proto)
    return seal(proto.SerializeToString(deterministic=True))


def _write(content: bytes, temporary: Path, out: Path) -> None:
    try:
        temporary.write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=out, fix="free space on the disk"
        ) from error
