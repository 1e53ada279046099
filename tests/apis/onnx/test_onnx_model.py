"""Exported models where there is neither torch nor OpenMMLab; what is no such file is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.onnx.onnx_metadata import OnnxMetadata, check_seal, seal
from mmrs.apis.onnx.onnx_model import load_onnx_model
from mmrs.errors import CheckpointError, ConfigError, DataError, EnvironmentError, MmrsError
from mmrs.geo.scaling import BandScaling

ROOT = Path(__file__).parents[3]
METADATA = OnnxMetadata(
    contract=ChannelContract(
        3, "uint8", "reversed", swaps=True, mean=(1.5, 2.25, 0.1), std=(3.0, 4.0, 5.0),
        scaling=BandScaling("meanstd", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), False), gsd_m=(0.5, 0.4),
    ),
    classes=("red", "grün", "蓝"),
    palette=((255, 0, 0), (0, 255, 0), (0, 0, 255)),
    threshold=None,
    window=(16, 24),
    stride=(8, 12),
    config="x.py",
    checkpoint_sha256="ab" * 32,
)  # fmt: skip


def softmax_model(metadata: OnnxMetadata = METADATA, *, bands: int = 3) -> onnx.ModelProto:
    """Softmax of the bands: the class is the strongest band; made by hand, without PyTorch."""
    axes = ["batch", bands, "height", "width"]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)
        for name in ("pixels", "probabilities")
    ]
    factor = numpy_helper.from_array(np.float32(1 / 32), "factor")
    nodes = [
        helper.make_node("Mul", ["pixels", "factor"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], [factor])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(proto, metadata.to_props())
    return proto


def write(path: Path, proto: onnx.ModelProto) -> Path:
    path.write_bytes(seal(proto.SerializeToString()))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "é model.onnx", softmax_model())


def test_metadata_comes_back_as_it_was(path: Path) -> None:
    assert load_onnx_model(path).metadata == METADATA
    other = replace(METADATA, threshold=0.25, left_out=("dense CRF",), palette=((1, 2, 3),) * 3)
    write(path, softmax_model(other))
    assert load_onnx_model(path).metadata == other


def test_probabilities_are_those_of_the_graph_in_the_files_order(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    scores = load_onnx_model(path, device="cpu", threads=1)(pixels)
    expected = np.exp(pixels / 32.0)
    expected /= expected.sum(axis=-1, keepdims=True)
    assert scores.dtype == np.float32 and scores.shape == (2, 3, 5, 7)
    np.testing.assert_allclose(scores, expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_windows_of_other_bands_are_refused(path: Path) -> None:
    with pytest.raises(DataError, match="4 bands found, 3 expected by the model"):
        load_onnx_model(path)(np.zeros((1, 4, 4, 4), np.uint8))


def test_what_onnx_runtime_cannot_compute_is_one_line(path: Path) -> None:
    proto = softmax_model()
    # a size that was fixed while tracing shows only when it runs
    fixed = numpy_helper.from_array(np.array([1, 3, 4, 4]), "shape")
    proto.graph.initializer.append(fixed)
    proto.graph.node.insert(0, helper.make_node("Reshape", ["pixels", "shape"], ["fixed"]))
    proto.graph.node[1].input[0] = "fixed"
    model = load_onnx_model(write(path, proto))
    assert model(np.zeros((1, 4, 4, 3), np.uint8)).shape == (1, 3, 4, 4)
    with pytest.raises(MmrsError, match="ONNX Runtime fails on 2 windows of 9 x 8 px") as caught:
        model(np.zeros((2, 9, 8, 3), np.uint8))
    assert "\n" not in str(caught.value) and "onnxruntime_src" not in str(caught.value)


# files that are none of ours ----------------------------------------------------------------------


def refuse(path: Path, *told: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_onnx_model(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 600
    for words in told:
        assert words in line
    assert ". Fix: " in line


def test_no_file_is_told(tmp_path: Path) -> None:
    refuse(tmp_path / "none.onnx", "No such file", "tools/export.py CONFIG CHECKPOINT OUT.onnx")
    refuse(tmp_path, "Is a directory")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "scene.onnx"
    with path.open("wb") as file:
        file.truncate(3 * 10**9)  # takes no place on the disk
    refuse(path, "it is larger than 2 GB")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a checkpoint", b"\x00" * 99, b"text\n" * 50])
def test_what_is_no_onnx_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    refuse(path, "it is no ONNX model that ONNX Runtime", "tools/export.py")


def test_a_foreign_model_is_told_what_it_lacks(path: Path) -> None:
    proto = softmax_model()
    del proto.metadata_props[:]
    path.write_bytes(proto.SerializeToString())
    refuse(path, "does not say which bands it takes", "what its classes are", "tools/export.py")


def test_every_changed_byte_and_every_cut_is_found(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_onnx_model(path)
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_onnx_model(path)
    path.write_bytes(whole + b"\x00")
    refuse(path, "it is damaged, or was changed after its export")


def test_a_changed_weight_is_found(path: Path) -> None:
    proto = onnx.load(path)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32(0.5), "factor"))
    onnx.save(proto, path)
    refuse(path, "was changed after its export", "export it again")


def with_info(change: Callable[[dict], object]) -> onnx.ModelProto:
    """The model, with its JSON changed."""
    props = METADATA.to_props()
    info = json.loads(props["mmrs"])
    change(info)
    proto = softmax_model()
    helper.set_model_props(proto, {**props, "mmrs": json.dumps(info)})
    return proto


def test_a_newer_format_asks_for_a_newer_mmrs(path: Path) -> None:
    write(path, with_info(lambda info: info.update(format=2, version="9.1")))
    refuse(path, "of format 2, written by mmrs 9.1", "reads up to format 1", "install a newer mmrs")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda info: info.pop("format"), "its metadata is damaged"),
        (lambda info: info.pop("channel_contract"), "channel_contract"),
        (lambda info: info["channel_contract"].update(nonsense=1), "channel_contract is damaged"),
        (lambda info: info.update(palette=[[1, 2, 3]]), "3 classes, 1 colours"),
        (lambda info: info.update(window=[0, 5]), "a size must be >= 1, got 0 x 5"),
        (lambda info: info.update(classes=["a", "b"], palette=[[0, 0, 0]] * 2), "3 classes, its"),
        (lambda info: info["channel_contract"].update(bands=4), "has 3 bands, its metadata 4"),
    ],
)
def test_metadata_that_cannot_be_true_is_told(path: Path, change: Callable, told: str) -> None:
    refuse(write(path, with_info(change)), told)


def test_other_inputs_are_told(path: Path) -> None:
    proto = softmax_model()
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "image"
    refuse(write(path, proto), "it takes image and gives probabilities, not pixels and")


def test_a_seal_is_put_once() -> None:
    with pytest.raises(ValueError, match="must hold one empty seal, it holds 0"):
        seal(b"nothing")
    sealed = seal(softmax_model().SerializeToString())
    assert check_seal(sealed, where="x")
    with pytest.raises(ValueError, match="it holds 0"):
        seal(sealed)


# the machine --------------------------------------------------------------------------------------


def test_devices_and_threads_are_checked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EnvironmentError, match=r"device cuda:1: .* cannot use a GPU.*onnxruntime-"):
        load_onnx_model(path, device="cuda:1")
    with pytest.raises(EnvironmentError, match="device tpu: there is no such device"):
        load_onnx_model(path, device="tpu")
    with pytest.raises(ConfigError, match="threads must be >= 1, got 0"):
        load_onnx_model(path, threads=0)
    assert load_onnx_model(path).session.get_providers() == ["CPUExecutionProvider"]
    options = load_onnx_model(path, threads=2).session.get_session_options()
    assert options.intra_op_num_threads == 2


def test_a_gpu_that_cannot_be_opened_is_told_or_passed_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime itself goes on with the CPU."""
    asked = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, content, options, providers):
            asked.append(providers)
            super().__init__(content, options, providers=["CPUExecutionProvider"])

    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(EnvironmentError, match="device cuda:1: there is no such device"):
        load_onnx_model(path, device="cuda:1")
    # in full float32, as it was compared
    assert asked[0][0] == ("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0})
    assert load_onnx_model(path).classes == METADATA.classes


BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
"""
HEAVY = ("torch", "torchvision", "mmengine", "mmcv", "mmseg", "mmpretrain", "onnx", "onnxscript")


def run_blocked(code: str, *argv: object, blocked: tuple[str, ...] = HEAVY) -> str:
    script = f"BLOCKED = {blocked}\n{BLOCK}\n{code}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, argv)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_without_onnx_runtime_the_mend_is_told(path: Path) -> None:
    code = """
from mmrs.apis.cli import run
from mmrs.apis.onnx.onnx_model import load_onnx_model
sys.stderr = sys.stdout
print(run(lambda argv: load_onnx_model(argv[0]) and None, sys.argv[1:]))
"""
    told = run_blocked(code, path, blocked=(*HEAVY, "onnxruntime")).splitlines()
    assert told[0].startswith("error: onnxruntime is needed to run ONNX models")
    assert "Fix: pip install onnxruntime" in told[0]
    assert told[1:] == ["1"]


def test_nothing_heavy_is_imported_on_the_way_to_a_map(path: Path, tmp_path: Path) -> None:
    code = """
import numpy as np
from PIL import Image
import mmrs.apis.channels.channel_files, mmrs.apis.cli, mmrs.apis.environment, mmrs.apis.overlay
import mmrs.apis.progress, mmrs.apis.scene.scene_input
from mmrs.apis.onnx.onnx_model import load_onnx_model
from mmrs.apis.predict import predict_scene

pixels = np.random.default_rng(0).integers(1, 256, (40, 50, 3), dtype=np.uint8)
Image.fromarray(pixels).save(sys.argv[2])
result = predict_scene(sys.argv[2], sys.argv[3], load_onnx_model(sys.argv[1], device="cpu"))
assert sum(result.pixels) == 40 * 50
print(sorted(name for name in sys.modules if name.partition(".")[0] in BLOCKED))
"""
    scene, out = tmp_path / "scene.png", tmp_path / "map.tif"
    assert run_blocked(code, path, scene, out).splitlines()[-1] == "[]"
    from PIL import Image

    from mmrs.geo.raster import Raster

    with Raster(out) as raster:
        labels = raster.read()[..., 0]
    np.testing.assert_array_equal(labels, np.asarray(Image.open(scene)).argmax(axis=-1))
