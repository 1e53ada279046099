"""A broken environment is told with its mend, and no checkpoint runs code."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import pickle
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmrs import compat
from mmrs.errors import CheckpointError, EnvironmentError

# ------------------------------------------------------------------------------- the environment


def pretend_import(monkeypatch: pytest.MonkeyPatch, module: str, error: BaseException) -> None:
    """Let importing ``module`` raise ``error``, and every other import do nothing."""

    def import_module(name: str) -> None:
        if name == module:
            raise error

    monkeypatch.setattr(compat.importlib, "import_module", import_module)


def pretend_installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these distributions, and no others, be installed."""

    def distribution(name: str) -> SimpleNamespace:
        if name not in names:
            raise PackageNotFoundError(name)
        return SimpleNamespace(version="1.0")

    monkeypatch.setattr(compat, "distribution", distribution)


ONEDL = ("onedl-mmengine", "onedl-mmcv", "onedl-mmsegmentation", "onedl-mmpretrain")
UPSTREAM = ("mmengine", "mmcv", "mmsegmentation", "mmpretrain")


def test_this_environment_is_fit() -> None:
    # whatever NumPy, OpenCV and setuptools the constraints name: failures.md rows 61 and 63
    compat.check_environment()


@pytest.mark.parametrize("module", ["mmengine", "mmcv", "mmseg"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch, module) -> None:
    pretend_installed(monkeypatch)
    pretend_import(monkeypatch, module, ModuleNotFoundError(f"No module {module}", name=module))
    with pytest.raises(
        EnvironmentError, match=f"{module} is not installed. Fix: pip install onedl"
    ):
        compat.check_environment()


# what was seen when each was provoked in an environment made for it
SEEN = [
    (
        "mmseg",
        AssertionError("MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4."),
        ["mmcv 2.2.0", "pip uninstall -y", "onedl-mmsegmentation"],
    ),
    (
        "mmseg",
        AssertionError(
            "MMEngine==2.0.0 is used but incompatible. Please install mmengine>=0.5.0, <1.0.0."
        ),
        ["mmengine 2.0.0", "pip uninstall -y"],
    ),
    (
        "mmseg.models",
        ModuleNotFoundError("No module named 'ftfy'", name="ftfy"),
        ["ftfy is not installed", "pip install ftfy regex"],
    ),
    (
        "mmseg.models",
        ModuleNotFoundError("No module named 'regex'", name="regex"),
        ["regex is not installed", "pip install ftfy regex"],
    ),
    (
        "mmengine",
        ModuleNotFoundError("No module named 'pkg_resources'", name="pkg_resources"),
        ["setuptools 82", 'pip install "setuptools<82"'],
    ),
    (
        "mmcv",
        ImportError("numpy.core.multiarray failed to import"),
        ["compiled for NumPy 1", 'pip install "numpy<2"'],
    ),
    (
        "mmseg",
        AttributeError("`np.float_` was removed in the NumPy 2.0 release. Use `np.float64`."),
        ["NumPy 2 no longer has", 'pip install "numpy<2"'],
    ),
    (
        "cv2",
        ValueError("numpy.dtype size changed, may indicate binary incompatibility."),
        ["another NumPy", 'pip install "numpy<2"'],
    ),
    (
        "mmcv",
        AttributeError("module 'cv2' has no attribute 'INTER_LINEAR'"),
        ["INTER_LINEAR", 'pip install "opencv-python-headless<5"'],
    ),
    (
        "cv2",
        ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
        ["libGL.so.1", "pip install opencv-python-headless"],
    ),
    (
        "cv2",
        ModuleNotFoundError("No module named 'cv2'", name="cv2"),
        ["OpenCV is not installed", "pip install opencv-python-headless"],
    ),
    (
        "mmseg.models",
        ImportError("/x/mmcv/_ext.cpython-311.so: undefined symbol: _ZN2at4_ops5zeros4callE"),
        ["compiled for another torch", "pip install --no-build-isolation"],
    ),
    (
        "mmseg.models",
        ModuleNotFoundError("No module named 'mmcv._ext'", name="mmcv._ext"),
        ["no compiled operators", "pip install --no-build-isolation"],
    ),
]


@pytest.mark.parametrize(("module", "error", "told"), SEEN, ids=[str(s[1])[:40] for s in SEEN])
def test_a_broken_stack_is_told_in_one_line_with_its_mend(monkeypatch, module, error, told) -> None:
    pretend_installed(monkeypatch, *ONEDL)
    pretend_import(monkeypatch, module, error)
    with pytest.raises(EnvironmentError) as caught:
        compat.check_environment()
    line = str(caught.value)
    assert "\n" not in line
    what, _, fix = line.partition("Fix: ")
    assert told[0] in what
    for part in told[1:]:
        assert part in fix


def test_an_error_is_explained_by_its_cause() -> None:
    try:
        try:
            raise ModuleNotFoundError("No module named 'ftfy'", name="ftfy")
        except ModuleNotFoundError as cause:
            raise KeyError("EncoderDecoder is not in the mmseg::model registry") from cause
    except KeyError as error:
        known = compat.explain_import_error(error)
    assert known is not None
    assert "ftfy" in known.what


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'mmrs.nothing'", name="mmrs.nothing"),
        ModuleNotFoundError("No module named 'mmseg.nothing'", name="mmseg.nothing"),
        AssertionError("x must be positive"),
        AttributeError("'Foo' object has no attribute 'bar'"),
        RuntimeError("CUDA out of memory"),
    ],
)
def test_a_defect_of_the_program_is_not_blamed_on_the_environment(monkeypatch, error) -> None:
    pretend_installed(monkeypatch, *ONEDL)
    assert compat.explain_import_error(error) is None
    pretend_import(monkeypatch, "mmseg", error)
    with pytest.raises(type(error)):
        compat.check_environment()


@pytest.mark.parametrize(
    ("both", "folder"),
    [
        (("mmcv", "onedl-mmcv"), "mmcv"),
        (("mmcv", "mmcv-lite"), "mmcv"),
        (("mmsegmentation", "onedl-mmsegmentation"), "mmseg"),
    ],
)
def test_two_builds_in_one_folder_are_refused(monkeypatch, both, folder) -> None:
    pretend_installed(monkeypatch, "onedl-mmengine", *both)
    with pytest.raises(EnvironmentError, match=f"{both[1]} 1.0 are both .* folder {folder}") as e:
        compat.check_environment()
    assert "--force-reinstall --no-deps onedl-mmengine" in str(e.value)


def test_upstream_mmengine_without_pkg_resources_is_told_before_a_config_needs_it(
    monkeypatch,
) -> None:
    pretend_installed(monkeypatch, *UPSTREAM)
    pretend_import(monkeypatch, "none", RuntimeError())
    monkeypatch.setattr(compat, "_exists", lambda name: name != "pkg_resources")
    with pytest.raises(EnvironmentError, match=r'Fix: pip install "setuptools<82"'):
        compat.check_environment()
    monkeypatch.setattr(compat, "_exists", lambda name: True)
    compat.check_environment()


def test_the_mend_for_operators_fits_the_installed_build(monkeypatch) -> None:
    error = ModuleNotFoundError("No module named 'mmcv._ext'", name="mmcv._ext")
    pretend_installed(monkeypatch, *ONEDL)
    assert "sed -i s/c++17/c++20/" in str(compat.explain_import_error(error))
    # there is no source build of upstream's mmcv for today's torch to recommend
    pretend_installed(monkeypatch, *UPSTREAM)
    assert "pip uninstall -y mmengine" in str(compat.explain_import_error(error))


# ---------------------------------------------------------------------------- compiled operators


def test_a_config_that_needs_compiled_operators_names_the_key(monkeypatch) -> None:
    monkeypatch.setattr(compat, "_exists", lambda name: False)
    config = {
        "model": {
            "type": "EncoderDecoder",
            "backbone": {"type": "ResNet", "dcn": {"type": "DCNv2", "deform_groups": 1}},
            "decode_head": [{"type": "FCNHead"}, {"type": "mmseg.PointHead"}],
        }
    }
    with pytest.raises(EnvironmentError, match=r"^model\.backbone\.dcn: type 'DCNv2' needs"):
        compat.check_compiled_operators(config)
    del config["model"]["backbone"]["dcn"]
    with pytest.raises(EnvironmentError, match=r"^model\.decode_head\[1\]: .*PointHead"):
        compat.check_compiled_operators(config)
    config["model"]["decode_head"].pop()
    compat.check_compiled_operators(config)


def test_with_compiled_operators_nothing_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(compat, "_exists", lambda name: name == "mmcv._ext")
    compat.check_compiled_operators({"model": {"type": "DCN"}})


def test_the_list_of_compiled_types_holds_all_that_mmcv_registers() -> None:
    registered = set()
    folder = Path(importlib.util.find_spec("mmcv").origin).parent / "ops"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                registered |= registered_names(node)
    assert len(registered) > 10, "collected too little to mean anything"
    assert registered <= compat.COMPILED_TYPES


def registered_names(node: ast.ClassDef) -> set[str]:
    """Names under which ``@MODELS.register_module(...)`` registers a class; {} without it."""
    names = set()
    for decorator in node.decorator_list:
        if not isinstance(decorator, ast.Call) or "register_module" not in ast.dump(decorator.func):
            continue
        given = [a.value for a in decorator.args if isinstance(a, ast.Constant)]
        given += [k.value.value for k in decorator.keywords if k.arg == "name"]
        names |= {name for name in given if isinstance(name, str)} or {node.name}
    return names


# ------------------------------------------------------------------------------------ checkpoints


class Canary:
    """Pickles into a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def save(path: Path, **extra: object) -> Path:
    torch.save({"state_dict": nn.Linear(2, 2).state_dict(), "meta": {"epoch": 1}, **extra}, path)
    return path


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(tmp_path) -> None:
    sung = tmp_path / "sung"
    path = save(tmp_path / "evil.pth", x=Canary(sung))
    with pytest.raises(CheckpointError, match=r"evil\.pth: it holds \S*open, which could run code"):
        compat.safe_load_checkpoint(path)
    assert not sung.exists()


def test_a_bare_pickle_is_refused_and_does_not_run(tmp_path) -> None:
    sung, path = tmp_path / "sung", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"x": Canary(sung)}))
    with pytest.raises(CheckpointError, match=r"evil\.pkl: "):
        compat.safe_load_checkpoint(path)
    assert not sung.exists()


def test_mmengine_refuses_it_too_once_told(tmp_path, mmengine_loading) -> None:
    from mmengine.runner import load_checkpoint

    sung = tmp_path / "sung"
    path = save(tmp_path / "evil.pth", x=Canary(sung))
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        load_checkpoint(nn.Linear(2, 2), str(path))
    assert not sung.exists()
    good = save(tmp_path / "good.pth")
    model = nn.Linear(2, 2)
    load_checkpoint(model, str(good))
    expected = torch.load(good, weights_only=True)["state_dict"]
    assert torch.equal(model.weight, expected["weight"])


def test_a_buffer_from_another_backend_is_refused_too(tmp_path, mmengine_loading) -> None:
    from mmengine.runner import checkpoint

    if not hasattr(checkpoint, "_safe_torch_load"):
        pytest.skip("only the maintained build has this helper")
    sung = tmp_path / "sung"
    content = io.BytesIO(save(tmp_path / "evil.pth", x=Canary(sung)).read_bytes())
    with pytest.raises(CheckpointError, match="which could run code"):
        checkpoint._safe_torch_load(content)
    assert not sung.exists()


@pytest.fixture
def mmengine_loading():
    """MMEngine told to load safely, and put back afterwards."""
    from mmengine.runner import checkpoint

    loader = checkpoint.CheckpointLoader
    schemes, helper = loader._schemes, getattr(checkpoint, "_safe_torch_load", None)
    compat.refuse_unsafe_checkpoints()
    yield
    loader._schemes = schemes
    if helper is not None:
        checkpoint._safe_torch_load = helper


def test_a_file_vouched_for_by_its_hash_is_loaded_whatever_it_holds(tmp_path) -> None:
    sung = tmp_path / "sung"
    path = save(tmp_path / "own.pth", x=Canary(sung))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match=f"its SHA-256 is {digest}, but 00 was vouched"):
        compat.safe_load_checkpoint(path, unsafe_sha256="00")
    assert not sung.exists()
    loaded = compat.safe_load_checkpoint(path, unsafe_sha256=digest.upper())
    loaded["x"].close()
    assert sung.exists()


def test_getattr_in_a_checkpoint_reaches_nothing_but_log_statistics(tmp_path) -> None:
    class Reach:
        def __init__(self, owner: object, name: str) -> None:
            self.args = (owner, name)

        def __reduce__(self):
            return getattr, self.args

    from mmengine.logging import HistoryBuffer

    path = save(tmp_path / "fine.pth", x=Reach(HistoryBuffer, "mean"))
    assert compat.safe_load_checkpoint(path)["x"] is HistoryBuffer.mean
    for name in ("__init__", "__class__", "_statistics_methods"):
        path = save(tmp_path / "reach.pth", x=Reach(HistoryBuffer, name))
        with pytest.raises(CheckpointError, match=r"reach\.pth: it holds getattr"):
            compat.safe_load_checkpoint(path)
    path = save(tmp_path / "reach.pth", x=Reach(np.ndarray, "mean"))
    with pytest.raises(CheckpointError, match=r"reach\.pth: it holds getattr"):
        compat.safe_load_checkpoint(path)


def test_what_a_runner_keeps_beside_tensors_is_loaded(tmp_path) -> None:
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    history = HistoryBuffer([0.5, 0.25], [1, 1])
    path = save(
        tmp_path / "full.pth",
        log=history,
        best=np.float64(0.625),
        count=np.int64(7),
        palette=np.array([[1, 2, 3]], dtype=np.uint8),
        meta=ConfigDict(classes=("a", "b"), nested=dict(x=[1, 2])),
    )
    loaded = compat.safe_load_checkpoint(path)
    assert loaded["log"].data[0].tolist() == [0.5, 0.25]
    assert loaded["log"].statistics("min") == 0.25
    assert (loaded["best"], loaded["count"]) == (0.625, 7)
    assert loaded["palette"].tolist() == [[1, 2, 3]]
    assert loaded["meta"].nested.x == [1, 2]


def test_a_checkpoint_written_with_numpy_1_is_loaded(tmp_path) -> None:
    new = save(tmp_path / "new.pth", best=np.float64(0.625))
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"cnumpy._core.multiarray\nscalar\n" in content
                content = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
            target.writestr(item, content)
    assert compat.safe_load_checkpoint(old)["best"] == 0.625


def test_a_damaged_checkpoint_is_named_wherever_it_was_cut(tmp_path) -> None:
    whole = save(tmp_path / "whole.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for end in (0, 1, 10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=r"cut\.pth: it is damaged or no checkpoint"):
            compat.safe_load_checkpoint(path)


@pytest.mark.parametrize("content", [b"hello, I am no checkpoint\n", b"\x89PNG\r\n\x1a\n" * 9])
def test_another_kind_of_file_is_named(tmp_path, content) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pth: it is damaged or no checkpoint"):
        compat.safe_load_checkpoint(path)


def test_a_missing_checkpoint_is_named(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth: there is no such file"):
        compat.safe_load_checkpoint(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="there is no such file"):
        compat.safe_load_checkpoint(tmp_path)


def test_a_run_resumes_from_the_checkpoint_that_it_saved(work_dir, mmengine_loading) -> None:
    """failures.md row 31: MMEngine 0.10.7 could not, with torch >= 2.6."""
    first = runner(work_dir, epochs=1)
    first.train()
    second = runner(work_dir, epochs=2, resume=True)
    second.train()
    assert (second.epoch, second.iter) == (2, 8)
    # the log history of the first epoch is still there
    history = second.message_hub.log_scalars["train/loss"]
    assert len(history.data[0]) == 8


def runner(work_dir: str, *, epochs: int, resume: bool = False):
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Tiny(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x, mode="tensor"):
            return {"loss": self.layer(x[0]).square().mean()}

    return Runner(
        Tiny(),
        work_dir,
        train_dataloader=dict(
            batch_size=2,
            dataset=[(torch.rand(2),) for _ in range(8)],
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
        ),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.01)),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=3),
            dict(type="CosineAnnealingLR", by_epoch=True, T_max=4),
        ],
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        custom_hooks=[dict(type="EMAHook")],
        resume=resume,
        default_scope="mmengine",
        experiment_name=f"epochs{epochs}",
        log_level="ERROR",
    )


# ----------------------------------------------------------------------------- config inheritance


def run_python(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_mmrs_imports_nothing_heavy(tmp_path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import mmrs\n"
        "print(sorted({'torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmseg'} & set(sys.modules)))"
    )
    assert run_python(code, tmp_path) == "[]"


@pytest.mark.parametrize("order", ["import mmrs, mmengine", "import mmengine, mmrs"])
def test_stock_configs_are_inherited_whatever_is_imported_first(tmp_path, order) -> None:
    (tmp_path / "own.py").write_text("_base_ = 'mmseg::_base_/models/fcn_hr18.py'\n")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        f"{order}\n"
        "from mmengine.config import Config\n"
        "model = Config.fromfile('own.py').model\n"
        "print(model.backbone.type, model._scope_, 'pkg_resources' in sys.modules)"
    )
    assert run_python(code, tmp_path) == "HRNet mmseg False"


def test_the_correction_is_made_once(monkeypatch) -> None:
    from mmengine.config import Config

    before = Config._get_cfg_path
    compat.register_config_scopes()
    compat.register_config_scopes()
    assert Config._get_cfg_path is before
    assert not any(isinstance(finder, compat._AfterImport) for finder in sys.meta_path)
