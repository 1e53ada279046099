"""A segmentor as one ONNX graph: pixels as the files hold them in, probabilities out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import onnx
import onnx_ir as ir
import torch
import torch.nn.functional as F
from mmseg.models import SegDataPreProcessor
from mmseg.models.utils.wrappers import Upsample
from onnx_ir.passes import common as passes
from torch import Tensor, nn

from mmrs.apis.onnx.onnx_model import INPUT, OUTPUT
from mmrs.apis.onnx.silent_stdout import silent_stdout
from mmrs.apis.window.window_model import SegmentorWindowModel
from mmrs.errors import ConfigError
from mmrs.ops import attention
from mmrs.ops.adaptive_mean import adaptive_mean
from mmrs.version import __version__

Exporter = Literal["trace", "dynamo"]
EXPORTERS: tuple[Exporter, ...] = get_args(Exporter)
DEFAULT_OPSET = 18
AXES = {0: "batch", 2: "height", 3: "width"}
# odd, and no multiples of each other or of a stride: what is fixed while tracing then shows
_TRACED_SHAPE = (2, 67, 101)


class PixelsToProbabilities(nn.Module):
    """All that ``SegmentorWindowModel`` does to windows, in operators that can be exported.

    Args:
        model: Loaded, on the CPU; what refines its logits is left out.

    Shapes: (N, bands, H, W) float32, values and bands as in the files -> (N, K, H, W), sums of 1.

    Raises:
        ConfigError: Its data preprocessor is of another kind than MMSegmentation's.
    """

    def __init__(self, model: SegmentorWindowModel):
        super().__init__()
        self.segmentor = model.model
        self.contract = model.contract
        self.threshold = model.threshold
        self.preprocessor = model.model.data_preprocessor
        if not isinstance(self.preprocessor, SegDataPreProcessor):
            kind = type(self.preprocessor).__name__
            raise ConfigError(
                f"a data preprocessor of type {kind} cannot be exported",
                where="model.data_preprocessor",
                fix="use SegDataPreProcessor or mmrs.SegDataPreProcessor",
            )

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities of every pixel."""
        height, width = pixels.shape[-2:]
        x = self.pad(self.normalise(self.scale(pixels)))
        size = (x.shape[-2], x.shape[-1])
        # the heads resize to the size of the first image
        metas = [{"img_shape": size, "ori_shape": size, "pad_shape": size}]
        logits = self.segmentor.encode_decode(x, metas)[..., :height, :width].float()
        if self.threshold is not None:
            second = logits.sigmoid()
            return torch.cat([1 - second, second], dim=1)
        return logits.softmax(dim=1)

    def scale(self, x: Tensor) -> Tensor:
        """What the data set did to the values, and the loader to the order of the bands."""
        scaling = self.contract.scaling
        if scaling is not None:
            divisor = torch.tensor(scaling.divisor, dtype=torch.float64)
            x = x - torch.tensor(scaling.offset, dtype=torch.float32).view(-1, 1, 1)
            x = x * (1 / divisor).float().view(-1, 1, 1)
            if scaling.clip:
                x = x.clamp(0, 1)
        return x.flip(1) if self.contract.order == "reversed" else x

    def normalise(self, x: Tensor) -> Tensor:
        """What the data preprocessor does to the values."""
        if self.preprocessor._channel_conversion and x.shape[1] == 3:
            x = x[:, [2, 1, 0]]
        if self.preprocessor._enable_normalize:
            x = (x - self.preprocessor.mean) / self.preprocessor.std
        return x

    def pad(self, x: Tensor) -> Tensor:
        """What the data preprocessor adds below and at the right."""
        test_cfg = self.preprocessor.test_cfg or {}
        size, divisor = test_cfg.get("size"), test_cfg.get("size_divisor") or 1
        if size is not None:
            below, right = (_missing(n, have) for n, have in zip(size, x.shape[-2:], strict=True))
        elif divisor > 1:
            below, right = (-have % divisor for have in x.shape[-2:])
        else:
            return x
        return F.pad(x, (0, right, 0, below), value=self.preprocessor.pad_val)


def trace_graph(
    model: SegmentorWindowModel, *, bands: int, opset: int, exporter: Exporter
) -> onnx.ModelProto:
    """Trace a segmentor into a model of ONNX with dynamic batch, height and width.

    Args:
        model: On the CPU.
        bands: That it takes.
        opset: Version of ONNX's operators.
        exporter: PyTorch's ``trace`` (TorchScript), or ``dynamo`` (torch.export), many times
            slower.

    Raises:
        ConfigError: PyTorch cannot export it, or not to this opset.
    """
    graph = PixelsToProbabilities(model).eval()
    count, height, width = _TRACED_SHAPE
    example = torch.zeros(count, bands, height, width)
    export = _by_trace if exporter == "trace" else _by_dynamo
    try:
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            silent_stdout(),  # PyTorch prints a graph that it cannot export, thousands of lines
            _exportable_operators(exporter),
        ):
            # of deprecation, and of every branch that tracing fixes: the check afterwards tells
            warnings.simplefilter("ignore")
            proto = export(graph, example, opset)
    except ImportError:
        raise  # of onnx or onnxscript, which has its own line
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:240]
        raise ConfigError(
            f"PyTorch {torch.__version__} cannot export it to opset {opset} "
            f"({type(error).__name__}: {line})",
            fix="choose another --opset or --exporter, or parts of the model that ONNX knows",
        ) from error
    return _tidy(proto)


def _by_trace(graph: nn.Module, example: Tensor, opset: int) -> onnx.ModelProto:
    buffer = io.BytesIO()
    torch.onnx.export(
        graph,
        (example,),
        buffer,
        dynamo=False,
        opset_version=opset,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: AXES, OUTPUT: AXES},
    )
    return _share(onnx.load_model_from_string(buffer.getvalue()))


def _share(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Compute once what tracing wrote down again and again: most of it sizes."""
    model = ir.from_proto(proto)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True)(model)
    passes.DeduplicateInitializersPass()(model)
    passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
    return ir.to_proto(model)


def _by_dynamo(graph: nn.Module, example: Tensor, opset: int) -> onnx.ModelProto:
    program = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        opset_version=opset,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=(dict.fromkeys(AXES, torch.export.Dim.DYNAMIC),),
        verbose=False,
    )
    return program.model_proto


def _tidy(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what tells of this machine and this run; name the axes."""
    proto.producer_name, proto.producer_version = "mmrs", __version__
    proto.graph.name, proto.doc_string, proto.graph.doc_string = "mmrs", "", ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    # inferred shapes in the exporter's own names of the axes
    del proto.graph.value_info[:]
    functions = [node for function in proto.functions for node in function.node]
    for item in (*proto.graph.node, *functions, *proto.graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    for end in (*proto.graph.input, *proto.graph.output):
        del end.metadata_props[:]
        for axis, name in AXES.items():
            end.type.tensor_type.shape.dim[axis].dim_param = name
    return proto


@contextmanager
def _exportable_operators(exporter: Exporter) -> Iterator[None]:
    """Replace what would fix a size, and what would compute the same sizes once a layer."""
    pool, upsample, map_size = F.adaptive_avg_pool2d, Upsample.forward, attention.map_size
    known: dict[tuple[int, ...], tuple[int, int, int]] = {}

    def pool_any_size(x: Tensor, output_size: Any) -> Tensor:
        pair = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
        if pair == (1, 1) or None in pair:
            return pool(x, output_size)
        return adaptive_mean(x, *pair)

    def upsample_any_size(self: Upsample, x: Tensor) -> Tensor:
        factor = self.scale_factor
        if self.size or not isinstance(factor, float) or not factor.is_integer():
            return upsample(self, x)
        # the class makes whole numbers of them, which tracing cannot follow
        size = [length * int(factor) for length in x.shape[-2:]]
        return F.interpolate(x, size, mode=self.mode, align_corners=self.align_corners)

    def shared_map_size(x: Tensor) -> tuple[int, int, int]:
        # maps of one size in the example have one stride: its sides were chosen for that
        return known.setdefault(tuple(int(n) for n in map_size(x)), map_size(x))

    F.adaptive_avg_pool2d, Upsample.forward = pool_any_size, upsample_any_size
    if exporter == "trace":  # the other knows by itself which sizes are equal
        attention.map_size = shared_map_size
    try:
        yield
    finally:
        F.adaptive_avg_pool2d, Upsample.forward = pool, upsample
        attention.map_size = map_size


def _missing(wanted: int, have: Any) -> Any:
    """How much is missing to a size, at least 0; sizes are tensors while tracing."""
    missing = wanted - have
    return missing.clamp(min=0) if isinstance(missing, Tensor) else torch.sym_max(missing, 0)
