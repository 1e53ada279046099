"""An exported model as scene prediction sees it, run by ONNX Runtime; imports no torch."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.onnx.onnx_metadata import MAKE_ONE, OnnxMetadata, check_seal
from mmrs.apis.window.model_identity import file_identity
from mmrs.errors import CheckpointError, ConfigError, DataError, EnvironmentError, MmrsError

logger = logging.getLogger(__name__)

INPUT, OUTPUT = "pixels", "probabilities"
_CUDA = "CUDAExecutionProvider"
_MAX_BYTES = 2**31  # of a message of protobuf


class OnnxWindowModel:
    """A session of ONNX Runtime as a ``WindowModel``.

    Args:
        session: Of a file that ``tools/export.py`` wrote.
        metadata: What the file says.

    Attributes:
        identity: What tells it from other models, for a resume; of those that were loaded.
    """

    def __init__(self, session: Any, metadata: OnnxMetadata):
        self.session = session
        self.metadata = metadata
        self.classes = metadata.classes
        self.palette = metadata.palette
        self.contract = metadata.contract
        self.threshold = metadata.threshold
        self.window = metadata.window
        self.stride = metadata.stride
        self.identity: dict[str, str | int] = {}

    def __call__(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels in file order, (N, h, w, bands) -> probabilities (N, K, h, w).

        Raises:
            DataError: The windows have other bands than the model takes.
            MmrsError: ONNX Runtime cannot compute them.
        """
        count, height, width, bands = windows.shape
        if bands != self.contract.bands:
            raise DataError(f"{bands} bands found, {self.contract.bands} expected by the model")
        pixels = np.ascontiguousarray(windows.transpose(0, 3, 1, 2), dtype=np.float32)
        try:
            (scores,) = self.session.run([OUTPUT], {INPUT: pixels})
        except Exception as error:
            raise MmrsError(
                f"ONNX Runtime fails on {count} windows of {height} x {width} px ({_told(error)})",
                fix="take smaller windows or batches, or another device",
            ) from error
        return np.asarray(scores, dtype=np.float32)


def load_onnx_model(
    path: str | Path, *, device: str | None = None, threads: int | None = None
) -> OnnxWindowModel:
    """Open an exported model.

    Args:
        path: What ``tools/export.py`` wrote.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default a GPU where ONNX Runtime finds one.
        threads: Of the CPU; by default ONNX Runtime's choice, a thread a core.

    Raises:
        CheckpointError: It is missing, damaged, no ONNX file, none of ours, or of a newer format.
        EnvironmentError: ONNX Runtime or the device is not there.
        ConfigError: ``threads`` is below 1.
    """
    model = read_onnx_model(path, device=device, threads=threads)
    for part in model.metadata.left_out:
        logger.warning("warning: %s: was exported without its %s", path, part)
    return model


def read_onnx_model(
    path: str | Path, *, device: str | None = None, threads: int | None = None
) -> OnnxWindowModel:
    """`load_onnx_model` that warns of nothing."""
    runtime = _import_runtime()
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be >= 1, got {threads}")
    path = Path(path).expanduser()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(
                "it is larger than 2 GB, which no ONNX file is", where=path, fix=MAKE_ONE
            )
        content = path.read_bytes()
    except OSError as error:
        what = error.strerror or "it cannot be read"
        raise CheckpointError(what, where=path, fix=f"check the path, or {MAKE_ONE}") from error
    sealed = check_seal(content, where=path)
    session = _open(runtime, content, path, device=device, threads=threads)
    metadata = OnnxMetadata.from_props(session.get_modelmeta().custom_metadata_map, where=path)
    if not sealed:
        raise CheckpointError("it has lost its seal", where=path, fix="export it again")
    _check_ends(session, metadata, path)
    model = OnnxWindowModel(session, metadata)
    model.identity = {
        "onnx": file_identity(path),
        "runtime": f"{runtime.__version__}, {session.get_providers()[0]}",
    }
    return model


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EnvironmentError(
            f"onnxruntime is needed to run ONNX models ({_told(error)})",
            fix="pip install onnxruntime (with a GPU of NVIDIA: pip install onnxruntime-gpu)",
        ) from error
    return onnxruntime


def _open(
    runtime: Any, content: bytes, path: Path, *, device: str | None, threads: int | None
) -> Any:
    providers = _providers(runtime, device)
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is told by the exception, in one line
    # Plans which tensors share memory before it knows their sizes, and tries all pairs: measured,
    # 35 s for the whole Hi-ResNet, and neither memory nor time saved when it runs.
    options.enable_mem_reuse = False
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = runtime.InferenceSession(content, options, providers=providers)
    except Exception as error:
        if device is not None and device != "cpu" and "CUDA" in str(error):
            raise _no_device(device) from error
        raise CheckpointError(
            f"it is no ONNX model that ONNX Runtime {runtime.__version__} can run ({_told(error)})",
            where=path,
            fix=MAKE_ONE,
        ) from error
    # ONNX Runtime goes on without a device that it cannot open
    if device is not None and device != "cpu" and session.get_providers()[0] != _CUDA:
        raise _no_device(device)
    return session


def _providers(runtime: Any, device: str | None) -> list[Any]:
    cpu = "CPUExecutionProvider"
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", device or "cuda")
    if found is None:
        raise _no_device(str(device))
    if device == "cpu":
        return [cpu]
    if _CUDA not in runtime.get_available_providers():
        if device is None:
            return [cpu]
        raise EnvironmentError(
            f"this ONNX Runtime ({runtime.__version__}) cannot use a GPU",
            where=f"device {device}",
            fix="pip uninstall -y onnxruntime && pip install onnxruntime-gpu, or use cpu",
        )
    # TensorFloat-32 keeps 10 bits: the result would not be what the export was compared with
    return [(_CUDA, {"device_id": int(found.group(1) or 0), "use_tf32": 0}), cpu]


def _no_device(device: str) -> EnvironmentError:
    return EnvironmentError(
        "there is no such device", where=f"device {device}", fix="use cpu, or cuda where it is"
    )


def _check_ends(session: Any, metadata: OnnxMetadata, path: Path) -> None:
    """Refuse a graph that does not take and give what the metadata says."""
    inputs = {node.name: node.shape for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    bands, classes = metadata.contract.bands, len(metadata.classes)
    taken, given = inputs.get(INPUT, [None] * 4), outputs.get(OUTPUT, [None] * 4)
    if list(inputs) != [INPUT] or OUTPUT not in outputs or len(taken) != 4 or len(given) != 4:
        raise CheckpointError(
            f"it takes {', '.join(inputs)} and gives {', '.join(outputs)}, not {INPUT} and "
            f"{OUTPUT}",
            where=path,
            fix=MAKE_ONE,
        )
    for what, number, size in (("bands", bands, taken[1]), ("classes", classes, given[1])):
        if isinstance(size, int) and size != number:
            raise CheckpointError(
                f"its graph has {size} {what}, its metadata {number}", where=path, fix=MAKE_ONE
            )


def _told(error: BaseException) -> str:
    """The first line of an error, without ONNX Runtime's number and file names."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", line)
    return re.sub(r"/\S*/onnxruntime/\S+ ", "", line)[:200]
