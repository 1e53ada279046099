"""Every seam with the versions of OpenMMLab, PyTorch, NumPy and OpenCV, each with its reason.

Importing this module imports none of them: a broken library must still be told in one line.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from typing import Any

from mmrs.errors import CheckpointError, EnvironmentError
from mmrs.weight_file import SUFFIX, load_safetensors

# --------------------------------------------------------------------------------------------
# Config inheritance: `_base_ = 'mmseg::...'` and `_base_ = 'mmrs::...'`
# --------------------------------------------------------------------------------------------

# The distributions that provide a module, upstream's first: what is installed is used.
_DISTRIBUTIONS = {
    "mmengine": ("mmengine", "onedl-mmengine"),
    "mmcv": ("mmcv", "mmcv-lite", "onedl-mmcv"),
    "mmseg": ("mmsegmentation", "onedl-mmsegmentation"),
    "mmpretrain": ("mmpretrain", "onedl-mmpretrain"),
}
_CONFIG_MODULE = "mmengine.config.config"


def register_config_scopes() -> None:
    """Make ``mmseg::``, ``mmpretrain::`` and ``mmrs::`` configs found, now or once MMEngine comes.

    MMEngine finds ``mmseg::x.py`` through the *distribution* named in a table, and its maintained
    build still names ``mmsegmentation`` there although it ships as ``onedl-mmsegmentation``; a
    scope that is not in the table, as ours, is refused.

    MMEngine takes most of a second to import and :mod:`mmrs.geo` must work without it, so where
    it is not imported yet the table is corrected right after it is.
    """
    module = sys.modules.get(_CONFIG_MODULE)
    if module is not None:
        _teach_config_scopes(module)
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


class _AfterImport(MetaPathFinder):
    """Lets the ordinary finders import MMEngine's config module, then corrects it; acts once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of MMEngine's config module with the correction appended."""
        if fullname != _CONFIG_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_teach(module: ModuleType) -> None:
            execute(module)
            _teach_config_scopes(module)

        spec.loader.exec_module = execute_and_teach  # type: ignore[method-assign]
        return spec


def _teach_config_scopes(config_module: ModuleType) -> None:
    table = sys.modules["mmengine.config.utils"].MODULE2PACKAGE
    for module in ("mmseg", "mmpretrain"):
        installed = installed_distribution(module)
        if installed is not None:
            table[module] = installed
    table["mmrs"] = "mmrs"

    # What is inherited through `mmrs::` would be built in the scope `mmrs`, where MMSegmentation's
    # own types (`EncoderDecoder`, its hooks, its visualiser) are unknown. Our configs are written
    # in the scope `mmseg` and prefix our types, so they are inherited in that scope.
    config = config_module.Config
    find = config._get_cfg_path
    if getattr(find, "knows_mmrs", False):
        return

    def find_in_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, "mmseg" if scope == "mmrs" else scope

    find_in_scope.knows_mmrs = True  # type: ignore[attr-defined]
    config._get_cfg_path = staticmethod(find_in_scope)


def installed_distribution(module: str) -> str | None:
    """Return the name of the installed distribution that provides an OpenMMLab module.

    Args:
        module: One of ``mmengine``, ``mmcv``, ``mmseg``, ``mmpretrain``.

    Returns:
        For instance ``mmsegmentation`` or ``onedl-mmsegmentation``; None where neither is there.
    """
    for name in _DISTRIBUTIONS[module]:
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        return name
    return None


# --------------------------------------------------------------------------------------------
# Checkpoints: loaded without running what is inside
# --------------------------------------------------------------------------------------------


def safe_load_checkpoint(
    path: str | Path, map_location: Any = "cpu", *, unsafe_sha256: str | None = None
) -> Any:
    """Load a checkpoint that can hold data only, never code.

    What a checkpoint of MMEngine's Runner holds beside tensors (the history of the logs, NumPy
    scalars, config dicts) is allowed; any other global is refused.

    Args:
        path: A file written by ``torch.save``, or one that ends in ``.safetensors``.
        map_location: As in ``torch.load``.
        unsafe_sha256: The SHA-256 of the file, in hex. With it, a file of exactly this hash is
            loaded whatever it holds; the caller vouches for it.

    Raises:
        CheckpointError: No such file, damaged, not a checkpoint, or one that would run code.
    """
    import torch

    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError("there is no such file", where=path, fix="check the path")
    if path.suffix == SUFFIX:
        return load_safetensors(path, map_location)
    try:
        if unsafe_sha256 is not None:
            # read once: what is hashed is what is loaded
            content = path.read_bytes()
            _require_sha256(content, unsafe_sha256, path)
            return torch.load(io.BytesIO(content), map_location=map_location, weights_only=False)
        with _allow_checkpoint_globals(), warnings.catch_warnings():
            # said of a bare pickle, which is refused a moment later
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(error, path) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        raise _damage(path, _first_line(error)) from error


def refuse_unsafe_checkpoints() -> None:
    """Make MMEngine load local checkpoints by :func:`safe_load_checkpoint`, resuming included.

    MMEngine 0.10.7 cannot resume with torch >= 2.6, whose ``torch.load`` refuses its log history;
    the maintained build tries ``weights_only=True`` and, when that refuses the file, *loads it
    anyway*. Tools call this once; importing mmrs changes nothing about loading.
    """
    from mmengine.runner import checkpoint

    def load_from_local(filename: str, map_location: Any = None) -> Any:
        return safe_load_checkpoint(filename, map_location)

    checkpoint.CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    if hasattr(checkpoint, "_safe_torch_load"):
        # the other backends (object stores) hand a file or a buffer to this helper
        checkpoint._safe_torch_load = _load_weights_only


def _load_weights_only(
    file: Any, map_location: Any = None, weights_only: bool | None = None
) -> Any:
    if isinstance(file, str | Path):
        return safe_load_checkpoint(file, map_location)
    import torch

    try:
        with _allow_checkpoint_globals():
            return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(error, "downloaded checkpoint") from error


def _require_sha256(content: bytes, expected: str, path: Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected.lower():
        raise CheckpointError(
            f"its SHA-256 is {found}, but {expected} was vouched for",
            where=path,
            fix="use the file whose hash you were given",
        )


def _damage(where: str | Path, detail: str) -> CheckpointError:
    return CheckpointError(
        f"it is damaged or no checkpoint ({detail})",
        where=where,
        fix="copy or download it again, and compare its size with the original's",
    )


def _refusal(error: Exception, where: str | Path) -> CheckpointError:
    told = str(error)
    found = re.search(r"GLOBAL (\S+)", told)
    if found is None:
        detail = re.search(r"WeightsUnpickler error: (.*)", told)
        if detail is None or "Unsupported operand" in told:
            return _damage(where, "not in the format of torch.save")
        what = f"it is not plain data ({detail.group(1)[:160]})"
    else:
        what = f"it holds {found.group(1)}, which could run code while loading"
    return CheckpointError(
        what,
        where=where,
        fix="use a checkpoint of tensors and plain values, or one of whose origin you are sure, "
        "saved again as its state_dict",
    )


def _first_line(error: Exception) -> str:
    told = str(error).strip() or type(error).__name__
    return re.split(r"\. |\n", told, maxsplit=1)[0][:160]


def _allow_checkpoint_globals() -> Any:
    """Return the context in which ``weights_only=True`` takes what MMEngine's Runner saves."""
    import torch

    if not hasattr(torch.serialization, "safe_globals"):
        # before torch 2.5: plain state dicts load, a Runner's log history is refused
        from contextlib import nullcontext

        return nullcontext()
    return torch.serialization.safe_globals(list(_checkpoint_globals()))


def _checkpoint_globals() -> Iterator[Any]:
    import numpy as np
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    core = np._core if hasattr(np, "_core") else np.core
    yield from (HistoryBuffer, ConfigDict, slice, np.ndarray, np.dtype)
    yield from {type(np.dtype(kind)) for kind in "? b B h H i I l L q Q e f d U S".split()}
    # NumPy 2 moved numpy.core to numpy._core: a file names whichever wrote it
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        yield _alias(core.multiarray.scalar, module, "scalar")
        yield _alias(core.multiarray._reconstruct, module, "_reconstruct")
    # A log history refers to its methods, which pickle writes as getattr(HistoryBuffer, 'mean').
    # The real getattr reaches the globals of any function, so the name gets a narrow stand-in.
    yield _alias(_history_statistic, "builtins", "getattr")


def _alias(function: Callable[..., Any], module: str, name: str) -> Callable[..., Any]:
    """Wrap ``function`` so that PyTorch's allow-list knows it as ``module.name``."""

    def call(*args: Any) -> Any:
        return function(*args)

    call.__module__, call.__name__, call.__qualname__ = module, name, name
    return call


def _history_statistic(owner: Any, name: str) -> Any:
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ("min", "max", "current", "mean"):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError("Unsupported global: GLOBAL getattr was not an allowed global")


# --------------------------------------------------------------------------------------------
# The environment: what is missing or does not fit, and the mend
# --------------------------------------------------------------------------------------------

_STACK = "onedl-mmengine onedl-mmcv onedl-mmsegmentation onedl-mmpretrain"
_INSTALL_STACK = f"pip install {_STACK} torchvision"
_UNINSTALL_UPSTREAM = "pip uninstall -y mmengine mmcv mmcv-lite mmsegmentation mmpretrain"
_REPLACE_STACK = f"{_UNINSTALL_UPSTREAM} && {_INSTALL_STACK}"
# mmcv's build asks for C++17, the headers of torch 2.15 want C++20.
_BUILD_OPERATORS = (
    "pip install setuptools wheel ninja && "
    "pip download --no-deps --no-binary :all: onedl-mmcv && tar xf onedl_mmcv-*.tar.gz && "
    "rm onedl_mmcv-*.tar.gz && sed -i s/c++17/c++20/ onedl_mmcv-*/setup.py && "
    "pip install --no-build-isolation --no-deps --force-reinstall ./onedl_mmcv-*/"
)
_HEADLESS_OPENCV = "pip uninstall -y opencv-python && pip install opencv-python-headless"

# What `mmcv.ops` registers, and the heads of MMSegmentation that import from it.
COMPILED_TYPES = frozenset(
    "CARAFEPack carafe CrissCrossAttention DCN DCNv2 MMSyncBN MultiScaleDeformableAttention SAC "
    "SparseConv2d SparseConv3d SparseConv4d SparseConvTranspose2d SparseConvTranspose3d "
    "SparseInverseConv2d SparseInverseConv3d SubMConv2d SubMConv3d SubMConv4d "
    "CCHead PointHead PSAHead SideAdapterCLIPHead".split()
)


def check_environment() -> None:
    """Import the OpenMMLab stack and say in one line what is wrong with it, if anything is.

    Raises:
        EnvironmentError: A library is missing, broken, or of a version that cannot work, with
            the command that mends it.
    """
    _refuse_two_builds()
    # mmseg checks the versions of mmcv and mmengine while it is imported
    for module in ("numpy", "torch", "cv2", "mmengine", "mmcv", "mmseg", "mmseg.models"):
        try:
            with warnings.catch_warnings():
                quiet_known_warnings()
                importlib.import_module(module)
        except Exception as error:
            known = explain_import_error(error)
            if known is None:
                raise
            raise known from error
    # upstream's mmengine imports pkg_resources only when it looks for `mmseg::` configs
    if installed_distribution("mmengine") == "mmengine" and not _exists("pkg_resources"):
        raise _no_pkg_resources()


def check_compiled_operators(config: Mapping[str, Any]) -> None:
    """Refuse a config that needs the compiled operators of mmcv where mmcv has none.

    Args:
        config: A whole config, or any part of one.

    Raises:
        EnvironmentError: Names the key that asks for them, and the command that builds them.
    """
    if _exists("mmcv._ext"):
        return
    for key, name in _find_types(config, ""):
        if name.rpartition(".")[2] in COMPILED_TYPES:
            raise _no_operators(
                f"type {name!r} needs mmcv's compiled operators, and this mmcv has none (no "
                "mmcv._ext)",
                where=key,
            )


def explain_import_error(error: BaseException) -> EnvironmentError | None:
    """Return what an import error of the stack means and how to mend it, or None if unknown.

    Args:
        error: What an import raised; its causes are looked at too.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        for explain in _EXPLANATIONS:
            known = explain(current)
            if known is not None:
                return known
        current = current.__cause__ or current.__context__
    return None


def quiet_known_warnings() -> None:
    """Silence what the stack says at every import and nobody can act upon."""
    # mmcv without compiled operators; `check_compiled_operators` speaks up where they are needed
    warnings.filterwarnings("ignore", "Fail to import ``MultiScaleDeformableAttention``")
    # mmpretrain, when Python 3.12 or later compiles it for the first time
    warnings.filterwarnings("ignore", ".*invalid escape sequence")
    # mmengine on Python 3.13: re.split(pattern, text, maxsplit) by position
    warnings.filterwarnings("ignore", "'maxsplit' is passed as positional argument")


_OTHERS = frozenset("torch torchvision rasterio numpy scipy shapely rich safetensors".split())


def _explain_missing_module(error: BaseException) -> EnvironmentError | None:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    top = error.name.partition(".")[0]
    if error.name == "mmcv._ext":
        return _no_operators("this mmcv has no compiled operators (no mmcv._ext)")
    if top == "pkg_resources":
        return _no_pkg_resources()
    if error.name in _DISTRIBUTIONS:
        return EnvironmentError(f"{error.name} is not installed", fix=_INSTALL_STACK)
    if top in ("ftfy", "regex"):
        return EnvironmentError(
            f"{top} is not installed; mmsegmentation imports it without declaring it",
            fix="pip install ftfy regex",
        )
    if error.name in _OTHERS:
        return EnvironmentError(f"{top} is not installed", fix=f"pip install {top}")
    if top in ("onnx", "onnx_ir", "onnxruntime", "onnxscript"):
        return EnvironmentError(
            f"{top} is not installed; exporting needs it",
            fix="pip install onnx onnx-ir onnxruntime onnxscript",
        )
    if error.name == "cv2":
        return EnvironmentError("OpenCV is not installed", fix="pip install opencv-python-headless")
    return None


def _explain_system_library(error: BaseException) -> EnvironmentError | None:
    library = re.search(r"(lib[\w.+-]+\.so[.\d]*): cannot open shared object", str(error))
    if not isinstance(error, ImportError) or library is None:
        return None
    name = library.group(1)
    if re.match(r"lib(GL|gthread|glib|SM|ICE|X|xcb)", name):
        return EnvironmentError(
            f"opencv-python needs the system library {name}, which is not there",
            fix=_HEADLESS_OPENCV,
        )
    return EnvironmentError(
        f"the system library {name} is not there",
        fix=f"install the system package that holds {name}",
    )


def _explain_operators_of_another_torch(error: BaseException) -> EnvironmentError | None:
    if isinstance(error, ImportError) and "_ext" in str(error) and "undefined symbol" in str(error):
        return _no_operators(
            "mmcv's operators were compiled for another torch than the one installed"
        )
    return None


def _explain_version_cap(error: BaseException) -> EnvironmentError | None:
    cap = re.search(
        r"(MMCV|MMEngine)==(\S+) is used but incompatible. Please install (mm\w+)(>=\S+?)[.\s]*"
        r"(<\s*[\w.]+?)?\.?$",
        " ".join(str(error).split()),
    )
    if not isinstance(error, AssertionError) or cap is None:
        return None
    name, version = cap.group(1).lower(), cap.group(2)
    return EnvironmentError(
        f"the installed mmsegmentation refuses {name} {version} (upstream's 1.2.2 wants mmcv "
        "below 2.2, of which there are no builds for today's Python and PyTorch)",
        fix=f"take the maintained builds: {_REPLACE_STACK}",
    )


def _explain_numpy(error: BaseException) -> EnvironmentError | None:
    told = str(error)
    if re.search(
        r"numpy\.core\.multiarray failed to import|compiled using NumPy 1|_ARRAY_API", told
    ):
        what = "a library was compiled for NumPy 1 and NumPy 2 is installed"
    elif "numpy.dtype size changed" in told:
        what = "a library was compiled for another NumPy than the one installed"
    elif isinstance(error, AttributeError) and re.search(
        r"was removed in the NumPy 2|module 'numpy' has no attribute", told
    ):
        what = f"a library uses what NumPy 2 no longer has ({_first_line(error)})"
    else:
        return None
    return EnvironmentError(
        what,
        fix='pip install "numpy<2" keeps the old libraries; to keep NumPy 2, take the maintained '
        f"builds: {_REPLACE_STACK}",
    )


def _explain_opencv(error: BaseException) -> EnvironmentError | None:
    if not isinstance(error, AttributeError) or "module 'cv2' has no attribute" not in str(error):
        return None
    # the folder `cv2` of two distributions, one half overwritten, looks the same as an OpenCV
    # that dropped a function
    return EnvironmentError(
        f"OpenCV lacks a function ({_first_line(error)}): two builds over each other, or a version "
        "too new for the library that calls it",
        fix="pip uninstall -y opencv-python opencv-python-headless opencv-contrib-python && "
        'pip install "opencv-python-headless<5"',
    )


_EXPLANATIONS = (
    _explain_missing_module,
    _explain_system_library,
    _explain_operators_of_another_torch,
    _explain_version_cap,
    _explain_numpy,
    _explain_opencv,
)


def _no_operators(what: str, where: str | None = None) -> EnvironmentError:
    if installed_distribution("mmcv") in ("mmcv", "mmcv-lite"):
        # upstream's mmsegmentation cannot even be imported without them, the maintained build can
        fix = (
            "install the mmcv (at least 2.0, below 2.2) that was compiled for your torch, or take "
            f"the maintained builds: {_REPLACE_STACK}"
        )
    else:
        fix = _BUILD_OPERATORS
    return EnvironmentError(what, where=where, fix=fix)


def _no_pkg_resources() -> EnvironmentError:
    return EnvironmentError(
        "upstream's mmengine imports pkg_resources, which setuptools 82 and later no longer hold",
        fix=f'pip install "setuptools<82", or take the maintained builds: {_REPLACE_STACK}',
    )


def _refuse_two_builds() -> None:
    for module, names in _DISTRIBUTIONS.items():
        present = []
        for name in names:
            try:
                present.append(f"{name} {distribution(name).version}")
            except PackageNotFoundError:
                continue
        if len(present) > 1:
            raise EnvironmentError(
                f"{' and '.join(present)} are both installed and own the same folder {module}",
                fix=f"{_UNINSTALL_UPSTREAM} && pip install --force-reinstall --no-deps {_STACK}",
            )


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _find_types(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield (key, type) of every dict in a config; ``model.backbone.dcn`` for a key."""
    if isinstance(node, Mapping):
        name = node.get("type")
        if isinstance(name, str):
            yield key or "type", name
        for child, value in node.items():
            yield from _find_types(value, f"{key}.{child}" if key else str(child))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _find_types(value, f"{key}[{index}]")
